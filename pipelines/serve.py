"""Serve the Bento that was packaged last: `bentoml serve`, with what it takes to start it right."""

from urllib.parse import quote

from marquee.errors import MarqueeError
from pipelines.package import is_current
from pipelines.paths import PACKAGED
from pipelines.screen import screen
from pipelines.servers import become, refuse_taken
from pipelines.stage import read_json


def serve(*, host: str, port: int) -> None:
    """Become `bentoml serve` on the packaged Bento; Ctrl-C ends it.

    Raises:
        MarqueeError: nothing was packaged in this clone, its Bento is gone, or the port is taken.
    """
    if not PACKAGED.exists():
        raise MarqueeError("nothing is packaged in this clone yet: run `make repro` first")
    packaged = read_json(PACKAGED)
    tag = packaged["tag"]
    if not is_current(packaged):
        raise MarqueeError(f"{tag} is not the model that lies here, or is gone: run `make repro` again")
    refuse_taken(port, host)
    base = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    console = screen()
    console.print(f"Serving [bold]{tag}[/], model version {packaged['version']}. Ctrl-C ends it. Try:")
    user = quote(packaged["user"], safe="")
    console.print(f"  curl {base}/recommend/{user}")
    console.print(f"  curl -H 'Accept: text/plain' '{base}/recommend/{user}?n=5'")
    console.print(f"  curl {base}/version")
    become("bentoml", "serve", tag, "--host", host, "--port", str(port))
