#!/usr/bin/env bash
# Run a command with a container engine: a running one, or one that is started for the command and stopped after it.
#
#   deploy/container/with-engine.sh COMMAND...
#
# On Debian, missing engines are installed (docker.io, docker-compose). If no registry can be reached, substitutes for
# the base images are built with debootstrap. Both need root. All files of the engine are in a temporary folder.
# Exit code 75: no engine can run on this machine.
set -euo pipefail

bases=(python:3.11-slim-bookworm debian:bookworm-slim)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/marquee-engine-XXXXXX")
engine_pid=""

clean() {
  if [ -n "$engine_pid" ]; then
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
  fi
  for mount_point in $(awk -v under="$scratch/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r); do
    umount --lazy "$mount_point" 2>/dev/null || true
  done
  rm -rf "$scratch" 2>/dev/null || true
}
trap clean EXIT

install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ! docker info >/dev/null 2>&1; then
  command -v dockerd >/dev/null && command -v iptables >/dev/null || install docker.io iptables ca-certificates
  export DOCKER_HOST="unix://$scratch/docker.sock"
  dockerd --host "$DOCKER_HOST" --data-root "$scratch/data" --exec-root "$scratch/exec" \
    --pidfile "$scratch/docker.pid" >"$scratch/dockerd.log" 2>&1 &
  engine_pid=$!
  for _ in $(seq 100); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.2
  done
  docker info >/dev/null 2>&1 || { tail -3 "$scratch/dockerd.log" >&2; exit 75; }
fi

docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || install docker-compose

missing=()
for base in "${bases[@]}"; do
  docker image inspect "$base" >/dev/null 2>&1 || docker pull -q "$base" >/dev/null 2>&1 || missing+=("$base")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "No registry can be reached. Building substitutes for ${missing[*]} with debootstrap (about a minute) ..."
  command -v debootstrap >/dev/null || install debootstrap
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    bookworm "$scratch/rootfs" >"$scratch/debootstrap.log" 2>&1 \
    || { tail -3 "$scratch/debootstrap.log" >&2; exit 1; }
  # Use the certificates of this machine, which may be the only ones that its package index accepts.
  cp /etc/ssl/certs/ca-certificates.crt "$scratch/rootfs/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$scratch"/rootfs/var/cache/apt/archives/*.deb "$scratch"/rootfs/var/lib/apt/lists/*
  ln -sf python3 "$scratch/rootfs/usr/bin/python"
  tar -C "$scratch/rootfs" -c . | docker import \
    --change "ENV PIP_BREAK_SYSTEM_PACKAGES=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" \
    - "${missing[0]}" >/dev/null
  for base in "${missing[@]:1}"; do docker tag "${missing[0]}" "$base"; done
fi

"$@"
