"""`marquee status`: what runs, how it does, and who gets what."""

import math
import time
from collections.abc import Iterable

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.gateway.traffic_split import servers_of, split_of
from service.stack.launch import living, pid_of
from service.stack.metrics_scraper import Rates, Sample, rates, samples_of
from service.stack.stack_config import CANARY, STABLE, Stack, load_stack, read_arms
from service.stack.supervisor import Supervisor

BETWEEN_S = 1.0
LEFT = (
    "The supervisor was killed, and nothing that ends is started again. Still there: {}. `marquee up` begins "
    "anew, with a few seconds without an answer; `marquee down` ends them."
)
COLUMNS = ("model", "users", "health", "req/s", "p50 ms", "p99 ms", "errors", "events", "lost")


def status(*, watch: bool) -> None:
    """Print the table once, or keep it up to date until Ctrl-C.

    Raises:
        MarqueeError: nothing was ever started here.
    """
    stack = load_stack(RUN.resolve())
    console = screen()
    if not Supervisor(stack.folder).running:
        left = living(stack.folder)
        console.print(LEFT.format(", ".join(left)) if left else "The stack is down: `marquee up` starts it.")
        return
    before = samples_of(stack)
    time.sleep(BETWEEN_S)
    if not watch:
        console.print(_page(stack, before, samples_of(stack)))
        return
    with Live(console=console, refresh_per_second=4, screen=False) as live:
        while True:
            after = samples_of(stack)
            live.update(_page(stack, before, after))
            before = after
            time.sleep(BETWEEN_S)


def _page(stack: Stack, before: dict[str, Sample | None], after: dict[str, Sample | None]) -> Group:
    splits = {gateway.name: split_of(stack.folder, gateway) for gateway in stack.gateways}
    weights = [split.weight for split in splits.values() if split is not None]
    table = Table(title=f"http://localhost:{stack.port}", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    arms = read_arms(stack.folder)
    up = _up(stack)
    for arm, servers in stack.replicas.items():
        if arm not in arms:
            continue
        names = [server.name for server in servers]
        share = (
            (weights[0] if weights else math.nan)
            if arm == CANARY
            else 1 - (weights[0] if weights else math.nan)
        )
        healthy = f"{sum(up.get(name, False) for name in names)} of {len(names)}"
        both = rates([before[name] for name in names], [after[name] for name in names])
        version = str(arms[arm].version)
        table.add_row(f"[bold]{arm}[/]", version, f"{100 * share:.4g}%", healthy, *_cells(both))
        for name in names:
            health = _health(stack, name, up)
            table.add_row(f"  {name}", "", "", health, *_cells(rates([before[name]], [after[name]])))
    return Group(table, "", *_others(stack, splits.values()))


def _cells(one: Rates) -> Iterable[str]:
    return (
        f"{one.requests_per_s:,.0f}",
        "-" if math.isnan(one.p50_ms) else f"{one.p50_ms:.2f}",
        "-" if math.isnan(one.p99_ms) else f"{one.p99_ms:.2f}",
        "-" if not one.requests_per_s else f"{one.error_rate:.2%}",
        f"{one.written:,}",
        f"{one.dropped:,}" if not one.dropped else f"[red]{one.dropped:,}[/]",
    )


def _up(stack: Stack) -> dict[str, bool]:
    """By replica, whether every gateway that answers has it up."""
    found: dict[str, bool] = {}
    for gateway in stack.gateways:
        for server in servers_of(stack.folder, gateway) or ():
            if server.backend in {STABLE, CANARY} and not server.name.startswith("backup-"):
                found[server.name] = found.get(server.name, True) and server.up
    return found


def _health(stack: Stack, name: str, up: dict[str, bool]) -> str:
    if pid_of(stack.folder, name) is None:
        return "[red]down[/]"
    return "[green]up[/]" if up.get(name) else "[yellow]not ready[/]"


def _others(stack: Stack, splits: Iterable[object]) -> list[Text]:
    lines = []
    for gateway, split in zip(stack.gateways, splits, strict=True):
        state = "[green]up[/]" if split is not None else "[red]does not answer[/]"
        lines.append(
            Text.from_markup(f"{gateway.name}  {state}  metrics on 127.0.0.1:{gateway.metrics_port}")
        )
    for name in stack.beating:
        state = "[green]up[/]" if pid_of(stack.folder, name) else "[red]down[/]"
        lines.append(Text.from_markup(f"{name}  {state}"))
    if len({split for split in splits if split is not None}) > 1:
        lines.append(Text("The gateways do not split alike: the controller will mend that.", style="yellow"))
    return lines
