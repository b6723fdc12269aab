"""Rows as Markdown tables that can be read as they are: ours first, the peer's after the slash."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.table.rows import (
    DATA,
    DIFFERENCE,
    END_TO_END,
    FIT,
    FOLDS_FIT,
    FOLDS_MAE,
    FOLDS_PREDICT,
    FOLDS_RMSE,
    MISSED,
    PEAK,
    PREDICT,
    RMSE_DIFFERENCE,
    STRETCH,
    WAITED,
    Row,
)

SAME_ACCURACY = 0.001  # stars of RMSE
MOST_WAITED = 10  # percent of a run
MARKS = {MISSED: "✗", STRETCH: "✓✓", "reached": "✓", "": ""}
PAIR = "/"

Rows = Sequence[Row]


def document(rows: Rows) -> str:
    """All tables that these rows fill, each with what it tells."""
    parts = [twins(rows), targets(rows), peers(rows), errors(rows), failures(rows), busy(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def twins(rows: Rows) -> str:
    """The table: every algorithm that Surprise has too."""
    titles = subjects(rows, "Surprise", RMSE_DIFFERENCE, DIFFERENCE, "RMSE", PEAK)
    heads = (
        "ours / Surprise", "RMSE", "apart", "MAE", "fit s", "predict s", "end to end s",
        "faster", "target", "peak MB", "n",
    )  # fmt: skip
    lines = [_twin(title, of(rows, title, "Surprise")) for title in titles]
    return table(heads, lines) if lines else ""


def _twin(title: str, found: dict[str, Row]) -> list[str]:
    end, apart = found[END_TO_END], found.get(RMSE_DIFFERENCE)
    return [
        title,
        _errors(found["RMSE"]),
        "" if apart is None else f"{_tiny(apart.ours)} {mark(apart)}".strip(),
        _errors(found["MAE"]),
        *(_pair(found[measure], seconds) for measure in (FIT, PREDICT)),
        _spread_pair(end),
        times(end.ratio),
        aim(end),
        f"{_pair(found[PEAK], megabytes)} {mark(found[PEAK])}".strip(),
        str(end.n),
    ]


def targets(rows: Rows) -> str:
    """What else was measured or to be reached."""
    lines = [
        [
            row.what.removesuffix(f": {END_TO_END}"),
            _pair(row, seconds),
            times(row.ratio),
            aim(row),
            str(row.n),
        ]
        for row in rows
        if row.unit == "s" and _stands_alone(row, subjects(rows, "Surprise", "RMSE"))
    ]
    return table(("ours / peer, seconds", "seconds", "faster", "target", "n"), lines) if lines else ""


def _stands_alone(row: Row, twin_titles: Sequence[str]) -> bool:
    """Whether the row is not one of the many of a twin, of a contest, or of five folds."""
    if row.measure in (FOLDS_FIT, FOLDS_PREDICT):
        return False
    return row.subject not in twin_titles if row.library in ("", "Surprise") else row.target is not None


def peers(rows: Rows) -> str:
    """Other libraries beside the nearest of ours, and whether any is faster for the same accuracy."""
    libraries = dict.fromkeys(row.library for row in rows if row.library not in ("", "Surprise"))
    lines = [
        _contest(rows, library, title)
        for library in libraries
        for title in dict.fromkeys(row.subject for row in rows if row.library == library)
    ]
    heads = (
        "ours / peer",
        "RMSE",
        "data s",
        "fit s",
        "predict s",
        "end to end s",
        "faster",
        "at the same accuracy",
        "n",
    )
    return table(heads, lines) if lines else ""


def _contest(rows: Rows, library: str, title: str) -> list[str]:
    found = of(rows, title, library)
    cells = [
        _pair(found[measure], seconds) if measure in found else ""
        for measure in (DATA, FIT, PREDICT, END_TO_END)
    ]
    whole = found.get(END_TO_END, found.get(PREDICT))
    told = [f"{library} {title}", _errors(found["RMSE"]) if "RMSE" in found else "", *cells]
    return [*told, times(whole.ratio if whole else None), verdict(rows, found), str(whole.n if whole else 0)]


def verdict(rows: Rows, found: dict[str, Row]) -> str:
    """Who is faster for the same accuracy; where the peer is more accurate, what of ours beats it."""
    if "RMSE" not in found or END_TO_END not in found:
        only = found.get(PREDICT)
        return (
            ""
            if only is None or only.ratio is None
            else ("ours" if only.ratio >= 1 else "the peer is faster")
        )
    error, whole = found["RMSE"], found[END_TO_END]
    if error.ours is None or error.peer is None or whole.ratio is None or whole.peer is None:
        return "not known"
    if error.ours <= error.peer + SAME_ACCURACY:
        if whole.ratio < 1:
            worse = error.peer - error.ours
            return "the peer is faster" + (f", its RMSE {worse:.4f} higher" if worse > SAME_ACCURACY else "")
        fit = found[FIT].ratio
        return "ours" if fit is None or fit >= 1 else "ours; its fit alone is faster"
    return _beaten_by(rows, error.peer, whole.peer)


def _beaten_by(rows: Rows, error: float, seconds: float) -> str:
    """An algorithm of ours that is both as accurate and faster."""
    for title, mine, took in [*_of_twins(rows), *_of_further(rows)]:
        if mine is not None and took is not None and mine <= error + SAME_ACCURACY and took <= seconds:
            return f"our {title}: {mine:.4f} in {took:.2f} s"
    return "the peer is more accurate"


def _of_twins(rows: Rows) -> Iterator[tuple[str, float | None, float | None]]:
    """Name, RMSE and seconds of each of the table's algorithms."""
    for title in subjects(rows, "Surprise", "RMSE"):
        found = of(rows, title, "Surprise")
        yield title, found["RMSE"].ours, found[END_TO_END].ours


def _of_further(rows: Rows) -> Iterator[tuple[str, float | None, float | None]]:
    """The same of the models past the table: means of five folds."""
    for title in subjects(rows, "", FOLDS_FIT):
        found = of(rows, title, "")
        seconds = (found[FOLDS_FIT].ours, found[FOLDS_PREDICT].ours)
        yield title, found[FOLDS_RMSE].ours, None if None in seconds else sum(filter(None, seconds))


def errors(rows: Rows) -> str:
    """Ours on five folds; of models past the table also what a fold takes."""
    titles = [row.subject for row in rows if row.measure == FOLDS_RMSE]
    lines = [_of_folds(title, of(rows, title, "")) for title in titles]
    heads = ("five folds, ours", "RMSE", "target", "MAE", "fit s", "predict s")
    return table(heads, lines) if lines else ""


def _of_folds(title: str, found: dict[str, Row]) -> list[str]:
    error = found[FOLDS_RMSE]
    costs = [_pair(found[key], seconds) if key in found else "" for key in (FOLDS_FIT, FOLDS_PREDICT)]
    return [
        title,
        f"{error.ours:.4f} ± {error.our_spread:.4f}",
        aim(error),
        _stars(found[FOLDS_MAE].ours),
        *costs,
    ]


def failures(rows: Rows) -> str:
    """What could not be measured, and why."""
    notes = dict.fromkeys(f"- {row.subject}: {row.note}" for row in rows if row.note)
    return "\n".join(["Not measured:", "", *notes]) if notes else ""


def busy(rows: Rows) -> str:
    """A warning, where the machine had other work to do meanwhile."""
    shares = [(row.ours or 0.0, row.peer or 0.0) for row in rows if row.measure == WAITED]
    waited = max(map(max, shares), default=0.0)
    if waited <= MOST_WAITED:
        return ""
    return (
        f"The machine did other work meanwhile: a run waited up to {waited:.0f} % of its time for a core. "
        "Measure again on a quiet one."
    )


def subjects(rows: Rows, library: str, *measures: str) -> list[str]:
    """Subjects against that library that have one of these measures, in order."""
    return list(dict.fromkeys(r.subject for r in rows if r.library == library and r.measure in measures))


def of(rows: Rows, subject: str, library: str) -> dict[str, Row]:
    """The rows of one subject by measure."""
    return {row.measure: row for row in rows if row.subject == subject and row.library == library}


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table with columns as wide as what is in them; all but the first to the right."""
    cells = [list(heads), *map(list, lines)]
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    text = [
        " | ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in text)


def mark(row: Row) -> str:
    """✓ reached, ✓✓ what was hoped for, ✗ missed."""
    return MARKS[row.verdict]


def aim(row: Row) -> str:
    """The target and whether it was reached."""
    return "" if row.target is None else f"{row.target} {mark(row)}".strip()


def times(ratio: float | None) -> str:
    """A ratio with as many digits as it deserves."""
    return (
        ""
        if ratio is None
        else f"{ratio:.0f}x"
        if ratio >= 20
        else f"{ratio:.1f}x"
        if ratio >= 3
        else f"{ratio:.2f}x"
    )


def seconds(value: float) -> str:
    """Seconds with as many digits as they deserve."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}"


def megabytes(value: float) -> str:
    """Whole MB."""
    return f"{value:,.0f}"


def _pair(row: Row, shown: Callable[[float], str]) -> str:
    cells = ["-" if value is None else shown(value) for value in (row.ours, row.peer)]
    return cells[0] if row.library == "" else PAIR.join(cells)


def _spread_pair(row: Row) -> str:
    """Seconds of both, each with half the range of its runs."""
    sides = ((row.ours, row.our_spread), (row.peer, row.peer_spread))
    return PAIR.join(
        "-" if took is None else seconds(took) + (f"±{seconds(spread / 2)}" if spread else "")
        for took, spread in sides
    )


def _errors(row: Row) -> str:
    return PAIR.join(_stars(value) for value in (row.ours, row.peer))


def _stars(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _tiny(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.0e}"
