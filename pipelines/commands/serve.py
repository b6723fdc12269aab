"""`marquee serve`: serve the last packaged Bento with `bentoml serve`."""

from urllib.parse import quote

from experiments.config import Params
from pipelines.support.bento import read_last_bento
from pipelines.support.console import create_console
from pipelines.support.ports import check_port_free
from pipelines.support.programs import replace_process


def serve_last_bento(params: Params, *, host: str, port: int) -> None:
    """Print example requests and replace this process with `bentoml serve`.

    Raises:
        MarqueeError: there is no current Bento, or the port is in use.
    """
    bento = read_last_bento()
    tag, user = bento["tag"], quote(bento["user"], safe="")
    check_port_free(port, host)
    base = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    console = create_console()
    console.print(f"Serving [bold]{tag}[/], model version {bento['version']}. Press Ctrl-C to stop. Try:")
    console.print(f"  curl {base}/recommend/{user}")
    console.print(f"  curl -H 'Accept: text/plain' '{base}/recommend/{user}?n=5'")
    console.print(f"  curl {base}/version")
    environment = params.serving.to_environment()
    replace_process("bentoml", "serve", tag, "--host", host, "--port", str(port), environment=environment)
