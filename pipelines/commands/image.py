"""Build the container image of the packaged Bento: `bentoml containerize`, then what a replica needs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from marquee.errors import MarqueeError
from pipelines.stages.package import packaged_here
from pipelines.support.console import screen
from pipelines.support.programs import run_program
from service.app import IMAGE

ENGINES = ("docker", "podman", "nerdctl")  # those whose command line is docker's
RECIPE = Path("deploy/container")


def containerize(image: str | None = None) -> None:
    """Build it with the first engine that answers, and say how it is run.

    Raises:
        MarqueeError: nothing is packaged, no engine answers, or a build failed.
    """
    packaged = packaged_here()
    bento = packaged["tag"]
    image = image or bento
    engine = _engine()
    environment = _environment(engine)
    console = screen()
    console.print(f"Building {image} of Bento {bento} with {engine} ...")
    whole = f"{image}-bento"
    options = [bento, "--backend", engine, "-t", whole]
    _run(sys.executable, "-m", "bentoml", "containerize", *options, environment=environment)
    options = ["--build-arg", f"BENTO={whole}", "--build-arg", f"BASE={IMAGE.base_image}"]
    _run(engine, "build", "-q", *options, "-t", image, str(RECIPE), environment=environment)
    user = quote(packaged["user"], safe="")
    console.print(f"Image [bold]{image}[/]. A replica:")
    console.print(
        f"  {engine} run -d --restart unless-stopped --read-only --tmpfs /tmp --cap-drop ALL "
        f"--security-opt no-new-privileges -v marquee-events:/events -p 3000:3000 {image}"
    )
    console.print(f"  curl localhost:3000/recommend/{user}")


def _engine() -> str:
    present = [engine for engine in ENGINES if shutil.which(engine)]
    for engine in present:
        if subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    if present:
        raise MarqueeError(f"{' and '.join(present)} cannot be reached: start the engine, or join its group")
    raise MarqueeError(f"there is no container engine here: install one of {', '.join(ENGINES)}")


def _environment(engine: str) -> Mapping[str, str]:
    """Without buildx Docker has its old builder only, and has to be told."""
    buildx = subprocess.run([engine, "buildx", "version"], capture_output=True, check=False)
    old = {"DOCKER_BUILDKIT": "0"} if engine == "docker" and buildx.returncode != 0 else {}
    return {**os.environ, **old}


def _run(*command: str, environment: Mapping[str, str]) -> None:
    run_program(command, f"`{' '.join(command[:4])}` failed", environment=environment)
