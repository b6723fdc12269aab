"""Programs that are run to their end."""

import sys
from pathlib import Path

import pytest

from marquee.errors import MarqueeError
from pipelines.support.programs import run_program

FAILING = "import sys; print('said'); print('reason\\n', file=sys.stderr); sys.exit(3)"


def test_a_program_that_fails_is_told_by_its_last_line() -> None:
    with pytest.raises(MarqueeError, match=r"^the build failed: reason$"):
        run_program([sys.executable, "-c", FAILING], "the build failed", environment={})


def test_a_program_that_fails_without_a_word_says_so() -> None:
    with pytest.raises(MarqueeError, match=r"^it failed: no output$"):
        run_program([sys.executable, "-c", "raise SystemExit(1)"], "it failed", environment={})


def test_a_program_runs_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    script = "import os; open('made', 'w').write(os.environ['WORD'])"
    run_program([sys.executable, "-c", script], "it failed", folder=tmp_path, environment={"WORD": "yes"})
    assert (tmp_path / "made").read_text() == "yes"
