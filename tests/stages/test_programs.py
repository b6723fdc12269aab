"""Running other programs."""

import sys
from pathlib import Path

import pytest

from marquee.errors import MarqueeError
from pipelines.support.programs import run_program

FAILING_SCRIPT = "import sys; print('output'); print('reason\\n', file=sys.stderr); sys.exit(3)"


def test_failed_program_error_quotes_the_last_line_of_output() -> None:
    with pytest.raises(MarqueeError, match=r"^the build failed: reason$"):
        run_program([sys.executable, "-c", FAILING_SCRIPT], "the build failed", environment={})


def test_failed_program_without_output_is_reported() -> None:
    with pytest.raises(MarqueeError, match=r"^it failed: no output$"):
        run_program([sys.executable, "-c", "raise SystemExit(1)"], "it failed", environment={})


def test_program_runs_in_the_given_folder_and_environment(tmp_path: Path) -> None:
    script = "import os; open('made', 'w').write(os.environ['WORD'])"
    run_program([sys.executable, "-c", script], "it failed", folder=tmp_path, environment={"WORD": "yes"})
    assert (tmp_path / "made").read_text() == "yes"
