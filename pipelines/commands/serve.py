"""Serve the Bento that was packaged last: `bentoml serve`, with what it takes to start it right."""

from urllib.parse import quote

from pipelines.stages.package import packaged_here
from pipelines.support.console import screen
from pipelines.support.processes import become, refuse_taken


def serve(*, host: str, port: int) -> None:
    """Become `bentoml serve` on the packaged Bento; Ctrl-C ends it.

    Raises:
        MarqueeError: nothing was packaged here that could be served, or the port is taken.
    """
    packaged = packaged_here()
    tag = packaged["tag"]
    refuse_taken(port, host)
    base = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    console = screen()
    console.print(f"Serving [bold]{tag}[/], model version {packaged['version']}. Ctrl-C ends it. Try:")
    user = quote(packaged["user"], safe="")
    console.print(f"  curl {base}/recommend/{user}")
    console.print(f"  curl -H 'Accept: text/plain' '{base}/recommend/{user}?n=5'")
    console.print(f"  curl {base}/version")
    become("bentoml", "serve", tag, "--host", host, "--port", str(port))
