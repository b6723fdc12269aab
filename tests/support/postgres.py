"""PostgreSQL server for tests: started on a free port with data in a temporary folder, then stopped."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS_VARIABLE = "MARQUEE_TEST_POSTGRES"  # folder of initdb and pg_ctl
USER = "marquee"


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None if PostgreSQL is not installed."""
    folders = []
    if PROGRAMS_VARIABLE in os.environ:
        folders.append(Path(os.environ[PROGRAMS_VARIABLE]))
    if initdb := shutil.which("initdb"):
        folders.append(Path(initdb).parent)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """Run a new server during the `with` block; yield the URL of an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="marquee-postgres-"))
    owner = _unprivileged_user()
    if owner:
        shutil.chown(folder, owner)
    port = _find_free_port()

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments], check=True, user=owner, cwd=folder, capture_output=True,
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


def _unprivileged_user() -> str | None:
    """Return the user for the server, or None for the current user; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
