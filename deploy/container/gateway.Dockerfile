# Image of a gateway: HAProxy from Debian, the version that docs/results.md was measured with.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
STOPSIGNAL SIGUSR1
# The image has no curl, so bash sends the request.
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/3000 && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
