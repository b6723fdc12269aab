"""PostgreSQL server for tests: started on a free port with data in a temporary folder, then stopped."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.stack.stack_config import find_free_ports

PROGRAMS_VARIABLE = "MARQUEE_TEST_POSTGRES"  # folder of initdb and pg_ctl
USER = "marquee"


def find_postgres_programs() -> Path | None:
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
    port = find_free_ports(1)[0]
    log = folder / "log"

    def run(program: str, *arguments: str) -> None:
        result = subprocess.run(
            [str(programs / program), "-D", str(folder / "data"), *arguments],
            check=False, user=owner, cwd=folder, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr + (log.read_text() if log.exists() else "")

    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    try:
        run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8")
        run("pg_ctl", "-l", str(log), "-w", "-o", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _unprivileged_user() -> str | None:
    """Return the user for the server, or None for the current user; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
