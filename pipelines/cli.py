"""The `marquee` command line: options, help texts and exit codes of all commands."""

import sys
from pathlib import Path

import click

from experiments.config import load_params
from marquee.errors import ConfigError
from pipelines.support.console import INTERRUPTED_EXIT_CODE, USER_ERRORS, exit_with_error
from pipelines.support.paths import EVENTS, FITTED_MODEL

PORT = click.IntRange(1, 65535)
FOLDER = click.Path(file_okay=False, path_type=Path)


class OrderedGroup(click.Group):
    """Group that lists its commands in the order in which they are defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(self.commands)


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="marquee")
def cli() -> None:
    """Train, serve and roll out collaborative-filtering recommenders.

    Run all commands in the project directory. Settings are in params.yaml; options override them for one run.
    """


@cli.command()
@click.option("-f", "--force", is_flag=True, help="Run all stages, even those whose inputs did not change.")
def repro(*, force: bool) -> None:
    """Run changed pipeline stages and print the leaderboard."""
    from pipelines.commands.repro import run_pipeline

    run_pipeline(load_params(), force=force)


@cli.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
def leaderboard(*, markdown: bool) -> None:
    """Print all trials of the last search, best first."""
    from pipelines.commands.leaderboard import print_trial_leaderboard

    print_trial_leaderboard(load_params(), markdown=markdown)


@cli.command()
def report() -> None:
    """Write reports/search.html, the report of the last search.

    The report is a single file that needs no server and no network.
    """
    from pipelines.commands.report import write_report

    write_report(load_params())


@cli.command()
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest time to wait for the search to start.",
)
def search_worker(*, max_wait: float) -> None:
    """Join a search, which may run on this machine or another one.

    params.yaml, data and code must be those of the search. Press Ctrl-C to leave after the current training.
    """
    from pipelines.commands.search_worker import join_search

    join_search(load_params(), max_wait=max_wait)


@cli.command()
@click.option("--port", type=PORT, metavar="PORT", default=5000, show_default=True, help="Port on 127.0.0.1.")
def ui(port: int) -> None:
    """Start the MLflow UI and print links to the last runs."""
    from pipelines.commands.ui import start_mlflow_ui

    start_mlflow_ui(load_params(), port=port)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, metavar="PORT", default=3000, show_default=True, help="Port to listen on.")
def serve(host: str, port: int) -> None:
    """Serve the last packaged model, without gateways."""
    from pipelines.commands.serve import serve_last_bento

    serve_last_bento(load_params(), host=host, port=port)


@cli.command()
@click.option("--all", "is_for_all", is_flag=True, help="Write the lists of all users in the training data.")
@click.option(
    "--users",
    default=None,
    metavar="FILE",
    help="Write the lists of these users: one id per line, or a CSV file; - for standard input.",
)
@click.option(
    "--column", default=None, metavar="NAME", show_default="user", help="Column of the ids in a CSV file."
)
@click.option(
    "--format",
    "output_format",
    default=None,
    metavar="parquet|csv|jsonl",
    show_default="by the name of the output, or else parquet",
    help="Format of the output.",
)
@click.option("--n", type=int, default=10, show_default=True, metavar="N", help="Items per list.")
@click.option(
    "--output",
    default=None,
    metavar="FILE",
    show_default="recommendations.FORMAT",
    help="File to write or replace; - for standard output.",
)
@click.option(
    "--model",
    type=FOLDER,
    metavar="FOLDER",
    default=FITTED_MODEL,
    envvar="MARQUEE_MODEL",
    show_default=True,
    show_envvar=True,
    help="Folder of the model.",
)
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=None,
    envvar="MARQUEE_AVAILABILITY",
    show_default="no rules",
    show_envvar=True,
    help="File of the rules of the shop.",
)
@click.option(
    "--events",
    type=FOLDER,
    metavar="FOLDER",
    default=None,
    show_default="no feedback since training",
    help="Folder of the replicas' events, whose feedback changes lists.",
)
def recommend(
    *,
    is_for_all: bool,
    users: str | None,
    column: str | None,
    output_format: str | None,
    n: int,
    output: str | None,
    model: Path,
    rules: Path | None,
    events: Path | None,
) -> None:
    """Write the lists of all users, or of those in a file.

    Users get the items that the service would recommend to them.
    """
    if is_for_all == (users is not None):
        raise ConfigError("use either --all or --users FILE, to say whose lists to write")
    from pipelines.commands.recommend import ListOptions, write_lists

    write_lists(ListOptions(users, column, output_format, n, output, model, rules, events))


@cli.command()
@click.option("--tag", default=None, show_default="marquee:<digest of the Bento>", help="Name of the image.")
def image(tag: str | None) -> None:
    """Build a container image of the last packaged model.

    Uses docker, podman or nerdctl, whichever is available.
    """
    from pipelines.commands.image import build_image

    build_image(tag)


@cli.command()
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    default=None,
    show_default="gateway.replicas",
    help="Number of replicas of the champion.",
)
@click.option(
    "--port",
    type=PORT,
    metavar="PORT",
    default=None,
    show_default="gateway.port",
    help="Port that both gateways listen on.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; * for all addresses."
)
@click.option(
    "--events",
    type=FOLDER,
    metavar="FOLDER",
    default=EVENTS,
    show_default=True,
    help="Folder of the events.",
)
def up(replicas: int | None, port: int | None, host: str, events: Path) -> None:
    """Start the serving stack on this machine.

    The stack consists of two gateways, the replicas of the champion, and a supervisor that restarts them.
    """
    from pipelines.commands.up import bring_up_stack

    bring_up_stack(load_params(), replicas=replicas, port=port, host=host, events=events)


@cli.command()
@click.option("--watch", is_flag=True, help="Update every second, until Ctrl-C.")
def status(*, watch: bool) -> None:
    """Print health, traffic, latency and events of the stack."""
    from pipelines.commands.status import print_stack_status

    print_stack_status(watch=watch)


@cli.command()
def restart() -> None:
    """Restart the replicas one by one, without downtime."""
    from pipelines.commands.restart import restart_stable_replicas

    restart_stable_replicas(load_params())


@cli.command()
def down() -> None:
    """Stop the stack, after answering requests in progress."""
    from pipelines.commands.down import stop_stack

    stop_stack()


@cli.command()
@click.option(
    "--events",
    type=FOLDER,
    metavar="FOLDER",
    default=EVENTS,
    envvar="MARQUEE_EVENTS",
    show_default=True,
    show_envvar=True,
    help="Folder of the replicas' events.",
)
@click.option(
    "--to",
    default="data/events",
    show_default=True,
    metavar="URL",
    help="Folder or fsspec URL, such as s3://bucket/events.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    show_default="archive once",
    metavar="SECONDS",
    help="Repeat with this interval until interrupted.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    default=None,
    show_default="keep all",
    metavar="DAYS",
    help="Delete archived events older than this.",
)
def archive(events: Path, to: str, every: float | None, keep_days: int | None) -> None:
    """Archive events as Parquet files in a folder or bucket.

    Only closed segment files are archived; they are then deleted.
    """
    from pipelines.commands.archive import archive_events

    archive_events(events, to, every=every, keep_days=keep_days)


@cli.command()
@click.option(
    "--image",
    default=None,
    show_default="the image of the last packaged Bento",
    help="Image of the champion.",
)
@click.option(
    "--canary", "canary_image", default=None, show_default="no canary", help="Image of the challenger."
)
@click.option(
    "--allocation",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Share of users assigned to the canary, 0 to 1.",
)
def compose(image: str | None, canary_image: str | None, allocation: float) -> None:
    """Write the files that deploy/compose.yaml needs.

    Prints the command that starts the stack in containers. Gateways that are already running apply the
    allocation at once.
    """
    from pipelines.commands.compose_mounts import write_compose_mounts

    write_compose_mounts(load_params(), image=image, canary=canary_image, allocation=allocation)


@cli.command()
@click.option("--own", required=True, help="Address of the host to configure.")
@click.option("--peer", required=True, help="Address of the other host.")
@click.option("--shared", required=True, help="Shared address with its prefix length, such as 192.0.2.10/24.")
@click.option("--interface", default="eth0", show_default=True, help="Network interface of the addresses.")
@click.option(
    "--port",
    type=PORT,
    metavar="PORT",
    default=None,
    show_default="gateway.port",
    help="Port that both gateways listen on.",
)
@click.option("--second", is_flag=True, help="Configure the backup host instead of the primary host.")
def keepalived(*, own: str, peer: str, shared: str, interface: str, port: int | None, second: bool) -> None:
    """Print the keepalived configuration of a host.

    With keepalived, two hosts share an address; if the primary host fails, the backup host takes it over.
    """
    from pipelines.commands.keepalived import print_keepalived_config

    port = port or load_params().gateway.port
    print_keepalived_config(own=own, peer=peer, shared=shared, interface=interface, port=port, second=second)


@cli.group(cls=OrderedGroup)
def canary() -> None:
    """Roll out a challenger to a growing share of users.

    The challenger is promoted on evidence that it is better (or not worse), and rolled back on an alarm.
    """


@canary.command(name="start")
@click.option("--to", type=int, default=None, show_default="the challenger", help="Version to roll out.")
def start_canary(to: int | None) -> None:
    """Start a rollout."""
    from pipelines.commands.canary_start import submit_rollout

    submit_rollout(load_params(), to)


@canary.command(name="shadow")
@click.option("--to", type=int, default=None, show_default="the challenger", help="Version to compare.")
@click.option(
    "--events",
    type=FOLDER,
    metavar="FOLDER",
    default=EVENTS,
    show_default=True,
    help="Folder of the events.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Maximum number of recorded requests to replay, most recent ones first.",
)
def run_canary_shadow(to: int | None, events: Path, requests: int) -> None:
    """Replay recorded requests to compare challenger and champion."""
    from pipelines.commands.canary_shadow import print_shadow_comparison

    print_shadow_comparison(load_params(), to, events, requests)


@canary.command(name="status")
def print_canary_status() -> None:
    """Print the state of the last rollout."""
    from pipelines.commands.canary import print_rollout_status

    print_rollout_status(watch=False)


@canary.command(name="watch")
def watch_canary() -> None:
    """Show the state of the rollout until it ends."""
    from pipelines.commands.canary import print_rollout_status

    print_rollout_status(watch=True)


@canary.command(name="pause")
def pause_canary() -> None:
    """Keep the current allocation; alarms still trigger a rollback."""
    _send_command("pause")


@canary.command(name="resume")
def resume_canary() -> None:
    """Continue a paused rollout."""
    _send_command("resume")


@canary.command(name="promote")
def promote_canary() -> None:
    """Promote the challenger now, regardless of the evidence."""
    _send_command("promote")


@canary.command(name="rollback")
def roll_back_canary() -> None:
    """Return all users to the champion now."""
    _send_command("roll back")


@canary.command(name="history")
def print_canary_history() -> None:
    """List all rollouts and their outcomes, newest first."""
    from pipelines.commands.canary import print_rollout_history

    print_rollout_history()


def _send_command(name: str) -> None:
    from marquee.rollout.state import OperatorCommand
    from pipelines.commands.canary import send_operator_command

    send_operator_command(OperatorCommand(name))


def main() -> None:
    """Run the command line; errors that the user can fix are printed as one line."""
    try:
        cli.main(prog_name=Path(sys.argv[0]).name, standalone_mode=False)
    except USER_ERRORS as error:
        exit_with_error("marquee", error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    main()
