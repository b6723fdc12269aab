"""`marquee status`: health, traffic, latency and events of the stack's processes."""

import math
import time
from collections.abc import Iterator, Mapping

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marquee.rollout.arms import CANARY, STABLE
from pipelines.support.console import create_console
from pipelines.support.paths import STACK_FOLDER
from service.gateway.haproxy_socket import query_servers
from service.gateway.traffic_split import TrafficSplit, query_split
from service.stack.circus_supervisor import SupervisorClient
from service.stack.metrics_scraper import Scrape, ServingStats, scrape_replicas, stats_between_scrapes
from service.stack.pid_files import find_pids, find_process
from service.stack.stack_config import StackConfig, load_stack_config, read_arms

SCRAPE_INTERVAL_SECONDS = 1.0
ORPHANS = (
    "The supervisor was killed, so processes that end are not restarted. Still running: {}. "
    "`marquee up` restarts the stack, with a few seconds of downtime; `marquee down` stops it."
)
COLUMNS = ("model", "users", "health", "req/s", "p50 ms", "p99 ms", "errors", "events", "dropped")

Scrapes = Mapping[str, Scrape | None]  # by replica; None: the replica did not respond


def print_stack_status(*, watch: bool) -> None:
    """Print the state of the stack, once or every second until Ctrl-C.

    Raises:
        MarqueeError: no stack has been started in this project.
    """
    stack = load_stack_config(STACK_FOLDER.resolve())
    console = create_console()
    if not SupervisorClient(stack.folder).is_running:
        orphans = find_pids(stack.folder)
        console.print(
            ORPHANS.format(", ".join(orphans))
            if orphans
            else "The stack is not running; start it with `marquee up`."
        )
        return
    before = scrape_replicas(stack)
    time.sleep(SCRAPE_INTERVAL_SECONDS)
    if not watch:
        console.print(_build_page(stack, before, scrape_replicas(stack)))
        return
    with Live(console=console, refresh_per_second=4, screen=False) as live:
        while True:
            after = scrape_replicas(stack)
            live.update(_build_page(stack, before, after))
            before = after
            time.sleep(SCRAPE_INTERVAL_SECONDS)


def _build_page(stack: StackConfig, before: Scrapes, after: Scrapes) -> Group:
    splits = [query_split(stack.folder, gateway) for gateway in stack.gateways]
    return Group(_build_replica_table(stack, splits, before, after), "", *_format_processes(stack, splits))


def _build_replica_table(
    stack: StackConfig, splits: list[TrafficSplit | None], before: Scrapes, after: Scrapes
) -> Table:
    """Return a row for each arm in use, and one for each of its replicas."""
    table = Table(title=f"http://localhost:{stack.port}", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    canary = next((split.allocation for split in splits if split is not None), math.nan)
    allocations = {CANARY: canary, STABLE: 1 - canary}
    arms, is_up = read_arms(stack.folder), _query_replicas_up(stack)
    for arm, replicas in stack.replicas.items():
        if arm not in arms:
            continue
        names = [replica.name for replica in replicas]
        n_up = sum(is_up.get(name, False) for name in names)
        total = stats_between_scrapes([before[name] for name in names], [after[name] for name in names])
        table.add_row(
            f"[bold]{arm}[/]",
            str(arms[arm].version),
            f"{100 * allocations[arm]:.4g}%",
            f"{n_up} of {len(names)}",
            *_format_stats(total),
        )
        for name in names:
            stats = stats_between_scrapes([before[name]], [after[name]])
            table.add_row(f"  {name}", "", "", _format_health(stack, name, is_up), *_format_stats(stats))
    return table


def _format_stats(stats: ServingStats) -> tuple[str, ...]:
    return (
        f"{stats.requests_per_s:,.0f}",
        "-" if math.isnan(stats.p50_ms) else f"{stats.p50_ms:.2f}",
        "-" if math.isnan(stats.p99_ms) else f"{stats.p99_ms:.2f}",
        "-" if not stats.requests_per_s else f"{stats.error_rate:.2%}",
        f"{stats.durable_events:,}",
        f"[red]{stats.dropped_events:,}[/]" if stats.dropped_events else "0",
    )


def _query_replicas_up(stack: StackConfig) -> dict[str, bool]:
    """Return for each replica whether all running gateways report it as up."""
    is_up: dict[str, bool] = {}
    for gateway in stack.gateways:
        for server in query_servers(stack.folder, gateway) or ():
            if server.backend in {STABLE, CANARY} and not server.name.startswith("backup-"):
                is_up[server.name] = is_up.get(server.name, True) and server.is_up
    return is_up


def _format_health(stack: StackConfig, name: str, is_up: Mapping[str, bool]) -> str:
    if find_process(stack.folder, name) is None:
        return "[red]down[/]"
    return "[green]up[/]" if is_up.get(name) else "[yellow]not ready[/]"


def _format_processes(stack: StackConfig, splits: list[TrafficSplit | None]) -> Iterator[Text]:
    """Yield the state of all gateways and heartbeat processes, and a warning if the gateways differ."""
    for gateway, split in zip(stack.gateways, splits, strict=True):
        state = "[red]not responding[/]" if split is None else "[green]up[/]"
        yield Text.from_markup(f"{gateway.name}  {state}  metrics on 127.0.0.1:{gateway.metrics_port}")
    for name in stack.heartbeat_processes:
        state = "[green]up[/]" if find_process(stack.folder, name) else "[red]down[/]"
        yield Text.from_markup(f"{name}  {state}")
    if len({split for split in splits if split is not None}) > 1:
        yield Text(
            "The gateways have different allocations; the controller will correct that.", style="yellow"
        )
