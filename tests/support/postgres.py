"""A PostgreSQL of a test's own: started on a free port, in a temporary folder, and stopped."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "MARQUEE_TEST_POSTGRES"  # a folder with initdb and postgres
USER = "marquee"


def programs() -> Path | None:
    """Where PostgreSQL's programs are: where the variable says, on the PATH, or where Debian puts them."""
    told = os.environ.get(VARIABLE)
    places = [Path(told)] if told else []
    on_path = shutil.which("initdb")
    places += [Path(on_path).parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


@contextmanager
def postgres(found: Path) -> Iterator[str]:
    """The address of an empty database in a new server."""
    folder = Path(tempfile.mkdtemp(prefix="marquee-postgres-"))
    owner = _owner()
    if owner:
        shutil.chown(folder, owner)
    port = _free_port()

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(found / program), *arguments], check=True, user=owner, cwd=folder, capture_output=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)},
        )  # fmt: skip

    data, log = str(folder / "data"), str(folder / "log")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    try:
        run("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8")
        run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _owner() -> str | None:
    """Who it runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
