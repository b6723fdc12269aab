"""Comparisons as Markdown tables; pairs are Marquee/other library."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.markdown import format_markdown_table
from benchmarks.table.comparisons import SURPRISE, Comparison, Measure, TargetStatus

MAX_RMSE_LOSS = 0.001  # in stars; up to this difference, accuracy counts as equal
MAX_WAITING_PERCENT = 10  # of the time of a run; above it, a warning is printed
MARKS = {None: "", TargetStatus.MISSED: "✗", TargetStatus.REACHED: "✓", TargetStatus.STRETCH: "✓✓"}

Comparisons = Sequence[Comparison]
ByMeasure = dict[Measure, Comparison]


def format_document(comparisons: Comparisons) -> str:
    """Return all tables that are not empty, followed by failures and warnings."""
    parts = (
        format_twins(comparisons),
        format_timings(comparisons),
        format_peers(comparisons),
        format_fold_errors(comparisons),
        format_failures(comparisons),
        format_busy_warning(comparisons),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


# Twins of Surprise's algorithms


def format_twins(comparisons: Comparisons) -> str:
    """Return the table of the algorithms that Surprise also has, or an empty string."""
    titles = list_subjects(
        comparisons,
        SURPRISE,
        Measure.RMSE_DIFFERENCE,
        Measure.MAX_PREDICTION_DIFFERENCE,
        Measure.RMSE,
        Measure.PEAK_MEMORY,
    )
    header = (
        "Marquee / Surprise", "RMSE", "max difference", "MAE", "fit s", "predict s", "end to end s",
        "speedup", "target", "peak MB", "n",
    )  # fmt: skip
    rows = [_twin_cells(title, select_comparisons(comparisons, title, SURPRISE)) for title in titles]
    return format_markdown_table(header, rows) if rows else ""


def _twin_cells(title: str, twin: ByMeasure) -> list[str]:
    end_to_end, difference = twin[Measure.END_TO_END], twin.get(Measure.RMSE_DIFFERENCE)
    memory = twin[Measure.PEAK_MEMORY]
    return [
        title,
        _format_pair(twin[Measure.RMSE], _format_stars),
        "" if difference is None else f"{_format_tiny(difference.ours)} {_mark(difference)}".strip(),
        _format_pair(twin[Measure.MAE], _format_stars),
        _format_pair(twin[Measure.FIT], format_seconds),
        _format_pair(twin[Measure.PREDICT], format_seconds),
        _format_seconds_with_spread(end_to_end),
        format_ratio(end_to_end.ratio),
        _format_target(end_to_end),
        f"{_format_pair(memory, _format_megabytes)} {_mark(memory)}".strip(),
        str(end_to_end.n),
    ]


# Single timings


def format_timings(comparisons: Comparisons) -> str:
    """Return the table of timings that are in no other table or have their own target, or an empty string."""
    twin_titles = list_subjects(comparisons, SURPRISE, Measure.RMSE)
    rows = [
        [
            comparison.what.removesuffix(f": {Measure.END_TO_END}"),
            _format_pair(comparison, format_seconds),
            format_ratio(comparison.ratio),
            _format_target(comparison),
            str(comparison.n),
        ]
        for comparison in comparisons
        if comparison.unit == "s" and _is_single_timing(comparison, twin_titles)
    ]
    header = ("Marquee / other", "seconds", "speedup", "target", "n")
    return format_markdown_table(header, rows) if rows else ""


def _is_single_timing(comparison: Comparison, twin_titles: Sequence[str]) -> bool:
    if comparison.measure in (Measure.FOLDS_FIT, Measure.FOLDS_PREDICT):
        return False
    if comparison.library in (None, SURPRISE):
        return comparison.subject not in twin_titles
    return comparison.target is not None


# Other libraries


def format_peers(comparisons: Comparisons) -> str:
    """Return the table of other libraries and Marquee's most similar algorithms, or an empty string."""
    libraries = dict.fromkeys(c.library for c in comparisons if c.library not in (None, SURPRISE))
    rows = [
        _peer_cells(comparisons, library, title)
        for library in libraries
        if library is not None
        for title in list_subjects(comparisons, library)
    ]
    header = (
        "Marquee / other", "RMSE", "data s", "fit s", "predict s", "end to end s", "speedup",
        "speedup at equal accuracy", "n",
    )  # fmt: skip
    return format_markdown_table(header, rows) if rows else ""


def _peer_cells(comparisons: Comparisons, library: str, title: str) -> list[str]:
    peer = select_comparisons(comparisons, title, library)
    total = peer.get(Measure.END_TO_END, peer.get(Measure.PREDICT))
    phases = (Measure.DATA, Measure.FIT, Measure.PREDICT, Measure.END_TO_END)
    return [
        f"{library} {title}",
        _format_pair(peer[Measure.RMSE], _format_stars) if Measure.RMSE in peer else "",
        *(_format_pair(peer[phase], format_seconds) if phase in peer else "" for phase in phases),
        format_ratio(total.ratio if total else None),
        format_speedup_at_equal_accuracy(comparisons, peer),
        str(total.n if total else 0),
    ]


def format_speedup_at_equal_accuracy(comparisons: Comparisons, peer: ByMeasure) -> str:
    """Return the speedup over a peer's algorithm if Marquee's accuracy is equal or better.

    Otherwise, return the name, RMSE and seconds of a model of Marquee that is both as accurate and as fast as
    the peer, if there is one.
    """
    if Measure.RMSE not in peer or Measure.END_TO_END not in peer:  # lists, not ratings
        return format_ratio(peer[Measure.PREDICT].ratio) if Measure.PREDICT in peer else ""
    error, total = peer[Measure.RMSE], peer[Measure.END_TO_END]
    if error.ours is None or error.peer is None or total.peer is None or total.ratio is None:
        return "unknown"
    if error.ours > error.peer + MAX_RMSE_LOSS:
        return _format_alternative(comparisons, error.peer, total.peer)
    return format_ratio(total.ratio) + _speedup_remark(
        total.ratio, peer[Measure.FIT], error.peer - error.ours
    )


def _speedup_remark(ratio: float, fit: Comparison, rmse_gain: float) -> str:
    """Return a remark on a speedup: that the fit alone is slower, or that a slower total is more accurate."""
    if ratio < 1:
        return f" (other RMSE {rmse_gain:.4f} higher)" if rmse_gain > MAX_RMSE_LOSS else ""
    return f" (fit alone {format_ratio(fit.ratio)})" if fit.ratio is not None and fit.ratio < 1 else ""


@dataclass(frozen=True)
class ModelCost:
    """RMSE of a model of Marquee, and its seconds to fit and predict one fold."""

    title: str
    rmse: float
    seconds: float


def _format_alternative(comparisons: Comparisons, max_rmse: float, max_seconds: float) -> str:
    for model in [*_twin_costs(comparisons), *_accurate_model_costs(comparisons)]:
        if model.rmse <= max_rmse + MAX_RMSE_LOSS and model.seconds <= max_seconds:
            return f"with {model.title}: {model.rmse:.4f} in {model.seconds:.2f} s"
    return "none: other is more accurate"


def _twin_costs(comparisons: Comparisons) -> Iterator[ModelCost]:
    for title in list_subjects(comparisons, SURPRISE, Measure.RMSE):
        twin = select_comparisons(comparisons, title, SURPRISE)
        rmse, seconds = twin[Measure.RMSE].ours, twin[Measure.END_TO_END].ours
        if rmse is not None and seconds is not None:
            yield ModelCost(title, rmse, seconds)


def _accurate_model_costs(comparisons: Comparisons) -> Iterator[ModelCost]:
    for title in list_subjects(comparisons, None, Measure.FOLDS_FIT):
        model = select_comparisons(comparisons, title, None)
        fit, predict = model[Measure.FOLDS_FIT].ours, model[Measure.FOLDS_PREDICT].ours
        if Measure.FOLDS_RMSE in model and fit is not None and predict is not None:
            rmse = model[Measure.FOLDS_RMSE].ours
            if rmse is not None:
                yield ModelCost(title, rmse, fit + predict)


# Five folds


def format_fold_errors(comparisons: Comparisons) -> str:
    """Return the table of Marquee's errors on five folds, or an empty string."""
    titles = list_subjects(comparisons, None, Measure.FOLDS_RMSE)
    rows = [_fold_cells(title, select_comparisons(comparisons, title, None)) for title in titles]
    header = ("Marquee, five folds", "RMSE", "target", "MAE", "fit s", "predict s")
    return format_markdown_table(header, rows) if rows else ""


def _fold_cells(title: str, model: ByMeasure) -> list[str]:
    rmse = model[Measure.FOLDS_RMSE]
    return [
        title,
        f"{_format_stars(rmse.ours)} ± {rmse.our_spread:.4f}",
        _format_target(rmse),
        _format_stars(model[Measure.FOLDS_MAE].ours),
        *(
            _format_pair(model[measure], format_seconds) if measure in model else ""
            for measure in (Measure.FOLDS_FIT, Measure.FOLDS_PREDICT)
        ),
    ]


# Failures and warnings


def format_failures(comparisons: Comparisons) -> str:
    """Return a list of the failed measurements with their reasons, or an empty string."""
    notes = dict.fromkeys(f"- {c.subject}: {c.note}" for c in comparisons if c.note)
    return "\n".join(["Not measured:", "", *notes]) if notes else ""


def format_busy_warning(comparisons: Comparisons) -> str:
    """Return a warning if a run waited too long for a core, otherwise an empty string."""
    waiting = [
        percent
        for comparison in comparisons
        if comparison.measure == Measure.WAITING
        for percent in (comparison.ours, comparison.peer)
        if percent is not None
    ]
    longest = max(waiting, default=0.0)
    if longest <= MAX_WAITING_PERCENT:
        return ""
    return (
        "The machine was busy with other work: "
        f"a run waited for a core for up to {longest:.0f} % of its time. "
        "Repeat the benchmark on an idle machine."
    )


# Selection and formats


def list_subjects(comparisons: Comparisons, library: str | None, *measures: Measure) -> list[str]:
    """Return the subjects compared with a library, in order; with `measures`, only those with one of them."""
    return list(
        dict.fromkeys(
            comparison.subject
            for comparison in comparisons
            if comparison.library == library and (not measures or comparison.measure in measures)
        )
    )


def select_comparisons(comparisons: Comparisons, subject: str, library: str | None) -> ByMeasure:
    """Return the comparisons of a subject with a library, by measure."""
    return {c.measure: c for c in comparisons if c.subject == subject and c.library == library}


def format_ratio(ratio: float | None) -> str:
    """Return a ratio with two or three significant digits, such as 1.52x, 9.6x or 350x."""
    if ratio is None:
        return ""
    digits = 0 if ratio >= 20 else 1 if ratio >= 3 else 2
    return f"{ratio:.{digits}f}x"


def format_seconds(value: float) -> str:
    """Return seconds with about three significant digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}"


def _format_megabytes(value: float) -> str:
    return f"{value:,.0f}"


def _format_stars(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _format_tiny(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.0e}"


def _format_pair(comparison: Comparison, format_value: Callable[[float], str]) -> str:
    """Return Marquee's value and, if there is a peer, the peer's value."""
    values = (comparison.ours,) if comparison.library is None else (comparison.ours, comparison.peer)
    return "/".join("-" if value is None else format_value(value) for value in values)


def _format_seconds_with_spread(comparison: Comparison) -> str:
    """Return the seconds of both sides, each with ± half the range of its runs."""
    sides = ((comparison.ours, comparison.our_spread), (comparison.peer, comparison.peer_spread))
    return "/".join(
        "-" if value is None else format_seconds(value) + (f"±{format_seconds(spread / 2)}" if spread else "")
        for value, spread in sides
    )


def _format_target(comparison: Comparison) -> str:
    return "" if comparison.target is None else f"{comparison.target} {_mark(comparison)}".strip()


def _mark(comparison: Comparison) -> str:
    return MARKS[comparison.target_status]
