"""`marquee image`: build a container image of the last packaged Bento.

`bentoml containerize` builds the base image, and deploy/container adds what a replica needs.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from marquee.errors import MarqueeError
from pipelines.support.bento import read_last_bento
from pipelines.support.console import create_console
from pipelines.support.programs import run_program
from service.app import IMAGE

ENGINES = ("docker", "podman", "nerdctl")  # with the same command line
BUILD_FOLDER = Path("deploy/container")


def build_image(name: str | None = None) -> None:
    """Build the image with the first available engine, and print how to run it.

    Raises:
        MarqueeError: there is no current Bento, no engine is available, or a build failed.
    """
    bento = read_last_bento()
    tag, user = bento["tag"], quote(bento["user"], safe="")
    name = name or tag
    engine = _find_engine()
    console = create_console()
    console.print(f"Building {name} from Bento {tag} with {engine} ...")
    _build_images(engine, tag, name)
    console.print(f"Built image [bold]{name}[/]. To run a replica:")
    console.print(
        f"  {engine} run -d --restart unless-stopped --read-only --tmpfs /tmp --cap-drop ALL "
        f"--security-opt no-new-privileges -v marquee-events:/events -p 3000:3000 {name}"
    )
    console.print(f"  curl localhost:3000/recommend/{user}")


def _build_images(engine: str, tag: str, name: str) -> None:
    """Build the Bento's image, then the replica's image on top of it."""
    environment = _build_environment(engine)
    bento_image = f"{name}-bento"
    options = [tag, "--backend", engine, "-t", bento_image]
    _run(sys.executable, "-m", "bentoml", "containerize", *options, environment=environment)
    options = ["--build-arg", f"BENTO={bento_image}", "--build-arg", f"BASE={IMAGE.base_image}"]
    _run(engine, "build", "-q", *options, "-t", name, str(BUILD_FOLDER), environment=environment)


def _find_engine() -> str:
    installed = [engine for engine in ENGINES if shutil.which(engine)]
    for engine in installed:
        if subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    if installed:
        raise MarqueeError(
            f"cannot connect to {' or '.join(installed)}; start it, or check your permission to use it"
        )
    raise MarqueeError(f"no container engine is installed; install one of {', '.join(ENGINES)}")


def _build_environment(engine: str) -> Mapping[str, str]:
    """Return the environment of the builds; Docker without buildx needs its legacy builder enabled."""
    buildx = subprocess.run([engine, "buildx", "version"], capture_output=True, check=False)
    needs_legacy_builder = engine == "docker" and buildx.returncode != 0
    environment = dict(os.environ)
    if needs_legacy_builder:
        environment["DOCKER_BUILDKIT"] = "0"
    return environment


def _run(*command: str, environment: Mapping[str, str]) -> None:
    run_program(command, f"`{' '.join(command[:4])}` failed", environment=environment)
