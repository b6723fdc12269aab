"""Access to the container engine in tests."""

import subprocess

IMAGE, BASE = "marquee-test:container", "python:3.11-slim-bookworm"


def docker(*arguments: str, check: bool = True) -> str:
    """Run a docker command and return its output; unless `check` is False, the command must succeed."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result.stdout.strip()
