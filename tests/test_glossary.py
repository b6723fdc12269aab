"""Words that the glossary retired occur nowhere: in code, comments, messages or documentation."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PARTS = ("marquee", "experiments", "pipelines", "service", "benchmarks", "tests", "docs", "deploy", ".github")
EXEMPT = {
    "CHANGELOG.md": "lists old names beside new ones",
    "docs/glossary.md": "lists the retired words",
    "marquee/events.py": "reads events of schema version 1",
    "marquee/synthetic/words.py": "words of invented film titles",
    "tests/domain/test_events.py": "reads events of schema version 1",
    "tests/online/telemetry/test_parquet_archive.py": "reads events of schema version 1",
    "tests/test_glossary.py": "tests the detection",
}
ALLOWED_PHRASES = {"factor ladder": "a row of benchmarks.protocol"}
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".j2", ".html", ".toml", ".sh"}


def retired_words() -> frozenset[str]:
    """Return the words listed in the glossary's comment `<!-- retired words: ... -->`."""
    comment = re.search(r"<!-- retired words:(.*?)-->", GLOSSARY.read_text(encoding="utf-8"), re.DOTALL)
    assert comment, "docs/glossary.md must list the retired words in a comment"
    return frozenset(word.strip() for word in comment[1].split(","))


def text_files() -> list[Path]:
    nested = (path for part in PARTS for path in (ROOT / part).rglob("*"))
    files = [path for path in (*nested, *ROOT.iterdir()) if path.is_file() and path.suffix in SUFFIXES]
    return sorted(path for path in files if path.relative_to(ROOT).as_posix() not in EXEMPT)


def words_in(text: str) -> set[str]:
    """Return the words of a text in lower case; `snake_case` and `CamelCase` names are split into words.

    Words of allowed phrases are left out.
    """
    for phrase in ALLOWED_PHRASES:
        text = text.replace(phrase, "")
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", text)}


@pytest.mark.parametrize("path", text_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_file_uses_no_retired_word(path: Path) -> None:
    found = words_in(path.read_text(encoding="utf-8")) & retired_words()
    assert not found, f"see docs/glossary.md for the words to use instead of {sorted(found)}"


def test_retired_words_are_detected_in_names_and_prose() -> None:
    assert {"rung", "shelf"} <= words_in("def lowest_rung(): ...  # the Shelf")
    assert {"rung", "shelf"} <= retired_words()
    assert "ladder" in words_in("a ladder") & retired_words()
    assert "ladder" not in words_in("the factor ladder")
