"""`marquee recommend`: lists of all users, or of those in a file, as a table."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marquee.errors import ConfigError, MarqueeError, ModelError
from marquee.events import Feedback
from marquee.files.atomic_write import replace_file
from marquee.model.fitted_model import FittedModel, load_model
from pipelines.support.console import create_console
from pipelines.support.list_writers import WRITERS, ListWriter
from pipelines.support.paths import FITTED_MODEL
from service.recommendation.list_blocks import (
    UNKNOWN_USER,
    BlockRecommender,
    ListBlock,
    UserBlock,
    iter_training_users,
)
from service.recommendation.list_selection import FALLBACK_LEVELS
from service.recommendation.recent_activity import RecentActivity
from service.recommendation.recommender import Recommender
from service.recommendation.shop_rules import read_shop_rules
from service.telemetry import EventTail

ROWS_PER_BLOCK = 200_000
DEFAULT_FORMAT = "parquet"
STANDARD_STREAM = "-"


@dataclass(frozen=True)
class ListOptions:
    """Options of the command.

    Attributes:
        users: file of user ids, or - for standard input; None: all users of the training data.
        column: column of the file, if it is CSV.
        format: parquet, csv or jsonl; None: by the suffix of the output, or else parquet.
        n: items per list.
        output: path, or - for standard output; None: `recommendations` with the suffix of the format, in the
            working directory.
        model: folder of the model.
        rules: file of the rules of the shop.
        events: folder of the replicas' events, whose feedback counts; None: no feedback since training.
    """

    users: str | None = None
    column: str | None = None
    format: str | None = None
    n: int = 10
    output: str | None = None
    model: Path = FITTED_MODEL
    rules: Path | None = None
    events: Path | None = None

    @property
    def chosen_format(self) -> str:
        """Format of the output."""
        suffix = Path(self.output or "").suffix.removeprefix(".").lower()
        return self.format or (suffix if suffix in WRITERS else DEFAULT_FORMAT)

    @property
    def destination(self) -> str:
        """Path of the output, or -."""
        return self.output or f"recommendations.{self.chosen_format}"


@dataclass
class ListCounts:
    """Counts of written lists, for the summary."""

    items: int = 0
    unknown: int = 0  # users who are not in the training data
    empty: int = 0  # users for whom no item is left
    levels: Counter[str] = field(default_factory=Counter)

    def add(self, lists: ListBlock) -> None:
        """Count the lists of a block."""
        lengths = lists.lengths
        self.items += int(lengths.sum())
        self.unknown += int(np.count_nonzero(lists.users.inner_ids == UNKNOWN_USER))
        self.empty += int(np.count_nonzero(lengths == 0))
        counts = np.bincount(lists.levels[lengths > 0], minlength=len(FALLBACK_LEVELS)).tolist()
        self.levels.update(dict(zip(FALLBACK_LEVELS, counts, strict=True)))

    def describe(self) -> str:
        """Return the counts as a clause."""
        texts = [f"{level} {count:,}" for level, count in self.levels.items() if count]
        if self.unknown:
            texts.append(f"{self.unknown:,} of the users are not in the model")
        if self.empty:
            texts.append(f"no item is left for {self.empty:,}")
        return "; ".join(texts)


def write_lists(options: ListOptions) -> None:
    """Write the lists of users to a file or to standard output, and print a summary.

    Raises:
        ConfigError: an option is invalid.
        DataError: the file of user ids is invalid.
        ModelError: the model is missing or damaged.
        MarqueeError: the output cannot be written; an existing file is unchanged.
    """
    _check_options(options)
    started = time.perf_counter()
    users = None if options.users is None else _read_users(options)
    model = _load_model(options.model)
    recommender = _create_recommender(model, options.rules)
    lists = BlockRecommender(recommender, options.n, _read_activity(options.events))
    blocks = _iter_blocks(model, users, max(1, ROWS_PER_BLOCK // max(1, lists.width)))
    n_users = len(model.arrays.users if users is None else users)
    to_stdout = options.destination == STANDARD_STREAM
    console = create_console(stderr=to_stdout)
    counts = ListCounts()
    with _open_output(options.destination) as file, _show_progress(console, n_users) as progress:
        writer = WRITERS[options.chosen_format](file, list(model.arrays.items))
        _write_blocks(writer, map(lists.recommend, blocks), counts, progress)
    target = "standard output" if to_stdout else options.destination
    seconds = time.perf_counter() - started
    summary = f"Wrote {counts.items:,} items for {n_users:,} users to {target} in {seconds:.2f} s"
    console.print(f"{summary}: {counts.describe()}", markup=False)


def _write_blocks(
    writer: ListWriter, blocks: Iterable[ListBlock], counts: ListCounts, progress: Progress
) -> None:
    try:
        for lists in blocks:
            writer.write(lists)
            counts.add(lists)
            progress.advance(progress.task_ids[0], len(lists.users))
        writer.finish()
    except BaseException:
        writer.abort()
        raise


def _check_options(options: ListOptions) -> None:
    """Check the options before anything is read or written.

    Raises:
        ConfigError: an option is invalid.
    """
    if options.n < 1:
        raise ConfigError(f"--n must be at least 1 (got {options.n})")
    if options.format is not None and options.format not in WRITERS:
        raise ConfigError(f"--format must be one of {', '.join(WRITERS)} (got '{options.format}')")
    if options.column is not None and options.users is None:
        raise ConfigError("--column needs --users: it names the column of the user ids")
    if options.destination == STANDARD_STREAM:
        if options.chosen_format == "parquet" and sys.stdout.isatty():
            raise ConfigError("Parquet cannot be shown in a terminal; redirect the output, or name --output")
        return
    path = Path(options.destination)
    if not path.parent.is_dir():
        raise ConfigError(f"--output: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise ConfigError(f"--output must be a file (got the folder {path})")


def _read_users(options: ListOptions) -> list[str]:
    from pipelines.support.user_ids import read_user_ids

    assert options.users is not None
    return read_user_ids(options.users, options.column)


def _load_model(folder: Path) -> FittedModel:
    if folder == FITTED_MODEL and not folder.exists():
        raise ModelError(f"{folder} does not exist; run `make repro` first, or name a model with --model")
    return load_model(folder)


def _create_recommender(model: FittedModel, rules: Path | None) -> Recommender:
    """Create the recommender; rules that do not fit the model are named on standard error and left out."""
    recommender = Recommender(model, None if rules is None else read_shop_rules(rules))
    for problem in recommender.compiled_rules.problems:
        sys.stderr.write(f"{rules}: {problem}; the rule is left out\n")
    return recommender


def _read_activity(folder: Path | None) -> RecentActivity | None:
    """Read the feedback in a folder of events; unlike a replica, keep that of all users.

    Raises:
        ConfigError: the folder does not exist.
        MarqueeError: the events cannot be read.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise ConfigError(f"--events: the folder {folder} does not exist; name that of the replicas' events")
    activity = RecentActivity(max_users=sys.maxsize, max_events=sys.maxsize)
    tail = EventTail(folder)
    try:
        # Twice, because files that a replica closes during the first poll are renamed.
        for event in chain(tail.poll(), tail.poll()):
            if isinstance(event, Feedback):
                activity.record(event)
    except OSError as error:
        raise MarqueeError(f"--events: {folder} cannot be read ({error.strerror or error})") from None
    return activity


def _iter_blocks(model: FittedModel, users: Sequence[str] | None, block_size: int) -> Iterator[UserBlock]:
    if users is None:
        yield from iter_training_users(model.arrays.users, block_size)
        return
    for start in range(0, len(users), block_size):
        ids = users[start : start + block_size]
        inner_ids = (model.inner_user_id(user) for user in ids)
        known = (UNKNOWN_USER if inner_id is None else inner_id for inner_id in inner_ids)
        yield UserBlock(ids, np.fromiter(known, np.int32, len(ids)))


@contextmanager
def _show_progress(console: Console, n_users: int) -> Iterator[Progress]:
    """Show a progress bar of users during the `with` block, if the console is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task("users", total=n_users)
        yield progress


@contextmanager
def _open_output(destination: str) -> Iterator[BinaryIO]:
    """Yield the output; a regular file gets its name when the `with` block ends without an error.

    Raises:
        MarqueeError: the output cannot be written.
    """
    path = Path(destination)
    target = "standard output" if destination == STANDARD_STREAM else destination
    try:
        if destination == STANDARD_STREAM:
            with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as stream:
                yield stream
        elif path.exists() and not path.is_file():  # such as a named pipe or a device
            with path.open("wb") as device:
                yield device
        else:
            # The target of a link, such as that of /dev/stdout: the link itself must stay.
            with replace_file(Path(os.path.realpath(path))) as file:
                yield file
    except BrokenPipeError:
        raise MarqueeError("the reader of the output closed it, so the lists are incomplete") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise MarqueeError(f"{target} cannot be written ({reason}); choose another --output") from None
    except KeyboardInterrupt:
        effect = "is incomplete" if destination == STANDARD_STREAM else "was not written"
        sys.stderr.write(f"interrupted: {target} {effect}\n")
        raise
