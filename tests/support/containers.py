"""Containers of tests: the engine's command line."""

import subprocess

IMAGE, BASE = "marquee-test:container", "python:3.11-slim-bookworm"


def docker(*arguments: str, check: bool = True) -> str:
    """What `docker ...` prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()
