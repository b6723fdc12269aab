"""`marquee ...`: the commands that a person types."""

import sys
from pathlib import Path

import click

from experiments.config.offline import load_params
from pipelines.support.console import MENDABLE, give_up, screen


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="marquee")
def cli() -> None:
    """Marquee: from ratings to a recommender in production, with evidence at each step."""


@cli.command()
@click.option("-f", "--force", is_flag=True, help="Run every stage, changed or not.")
def repro(*, force: bool) -> None:
    """Run what changed of the pipeline, and show the leaderboard."""
    from pipelines.commands.repro import repro as run_repro

    run_repro(load_params(), force=force)


@cli.command()
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
def leaderboard(*, markdown: bool) -> None:
    """Show the candidates of the last search, best first."""
    from pipelines.commands.leaderboard import leaderboard_markdown, leaderboard_table

    params = load_params()
    if markdown:
        click.echo(leaderboard_markdown(params))
    else:
        screen().print(leaderboard_table(params))


@cli.command()
def report() -> None:
    """Write reports/search.html about the last search: one file, to be opened or sent."""
    from pipelines.commands.report import report as write

    screen().print(f"Wrote {write(load_params())}")


@cli.command()
@click.option("--patience", default=600.0, show_default=True, help="Seconds to wait for the search to begin.")
def search_worker(*, patience: float) -> None:
    """Join the search that params.yaml describes; leave by Ctrl-C, at any time."""
    from pipelines.commands.search_worker import search_worker as run_worker

    run_worker(load_params(), patience=patience)


@cli.command()
@click.option("--port", default=5000, show_default=True, help="Where the UI listens, on this machine only.")
def ui(port: int) -> None:
    """Open the runs in the MLflow UI."""
    from pipelines.commands.ui import ui as run_ui

    run_ui(load_params(), port=port)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
def serve(host: str, port: int) -> None:
    """Serve the Bento that was packaged last."""
    from pipelines.commands.serve import serve as run_serve

    run_serve(host=host, port=port)


@cli.command()
@click.option("--tag", default=None, help="Name of the image [marquee:<digest of the Bento>].")
def image(tag: str | None) -> None:
    """Build the container image of the Bento that was packaged last."""
    from pipelines.commands.image import containerize

    containerize(tag)


@cli.command()
@click.option(
    "--events", default="events", envvar="MARQUEE_EVENTS", show_default=True, help="Folder of segments."
)
@click.option(
    "--to", default="data/events", show_default=True, help="A folder, or any URL of fsspec: s3://..."
)
@click.option("--every", type=float, default=None, help="Go on, with so many seconds between.")
@click.option(
    "--keep-days", type=click.IntRange(min=1), default=None, help="Remove sealed events that are older."
)
def seal(events: str, to: str, every: float | None, keep_days: int | None) -> None:
    """Seal closed segments of events into Parquet, and remove them here."""
    from pipelines.commands.archive import seal_events

    seal_events(Path(events), to, every=every, keep_days=keep_days)


@cli.command()
@click.option(
    "--replicas", type=click.IntRange(min=1), default=None, help="Of the champion [gateway.replicas]."
)
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Of both gateways [gateway.port].")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; * for all.")
@click.option("--events", type=click.Path(path_type=Path), default=None, help="Folder of events [events].")
def up(replicas: int | None, port: int | None, host: str, events: Path | None) -> None:
    """Start two gateways and replicas of the champion, and look after them."""
    from pipelines.commands.up import up as bring_up

    bring_up(load_params(), replicas=replicas, port=port, host=host, events=events)


@cli.command()
@click.option("--watch", is_flag=True, help="Keep it up to date, until Ctrl-C.")
def status(*, watch: bool) -> None:
    """Show what runs, how it does, and who gets what."""
    from pipelines.commands.status import status as show

    show(watch=watch)


@cli.command()
def restart() -> None:
    """Restart the champion's replicas one by one; nobody notices."""
    from pipelines.commands.restart import restart as run_restart

    run_restart(load_params())


@cli.command()
def down() -> None:
    """End the stack; what was begun is finished first."""
    from pipelines.commands.down import down as bring_down

    bring_down()


@cli.command()
@click.option("--image", default=None, help="Of the champion [what make image built].")
@click.option("--canary", "canary_image", default=None, help="Image of the challenger.")
@click.option("--weight", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of users.")
def compose(image: str | None, canary_image: str | None, weight: float) -> None:
    """Write what deploy/compose.yaml needs to run the stack in containers."""
    from pipelines.commands.compose import compose as write_compose

    write_compose(load_params(), image=image, canary=canary_image, weight=weight)


@cli.command()
@click.option("--own", required=True, help="Address of the host that it is for.")
@click.option("--peer", required=True, help="Address of the other host.")
@click.option("--shared", required=True, help="Address of both, with its prefix.")
@click.option("--interface", default="eth0", show_default=True, help="That has them.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Of both gateways [gateway.port].")
@click.option("--second", is_flag=True, help="For the host that stands by.")
def address(*, own: str, peer: str, shared: str, interface: str, port: int | None, second: bool) -> None:
    """Print keepalived's configuration for one of two hosts that share an address."""
    from pipelines.commands.keepalived import address as print_address

    port = port or load_params().gateway.port
    print_address(own=own, peer=peer, shared=shared, interface=interface, port=port, second=second)


@cli.group()
def canary() -> None:
    """Try a challenger on a share of the users, and promote it only on evidence."""


@canary.command()
@click.option("--to", type=int, default=None, help="Version to try [the challenger].")
def start(to: int | None) -> None:
    """Begin a rollout."""
    from pipelines.commands.canary_start import begin

    begin(load_params(), to)


@canary.command()
@click.option("--to", type=int, default=None, help="Version to compare [the challenger].")
@click.option(
    "--events", type=click.Path(path_type=Path), default=Path("events"), show_default=True, help="Recorded."
)
@click.option(
    "--requests", type=click.IntRange(min=1), default=10_000, show_default=True, help="The last ones."
)
def shadow(to: int | None, events: Path, requests: int) -> None:
    """Compare a challenger's answers to recorded requests, before any user sees one."""
    from pipelines.commands.canary_shadow import shadow as run_shadow

    run_shadow(load_params(), to, events, requests)


@canary.command(name="status")
def canary_status() -> None:
    """Show how the rollout goes."""
    from pipelines.commands.canary import show

    show(watch=False)


@canary.command(name="watch")
def canary_watch() -> None:
    """Show how it goes until it ends."""
    from pipelines.commands.canary import show

    show(watch=True)


@canary.command()
def pause() -> None:
    """Stay at this share of users; alarms still roll back."""
    _ask("pause")


@canary.command()
def resume() -> None:
    """Go on after a pause."""
    _ask("resume")


@canary.command()
def promote() -> None:
    """Promote the challenger now, whatever the evidence."""
    _ask("promote")


@canary.command()
def rollback() -> None:
    """Give everybody the champion again, now."""
    _ask("roll back")


@canary.command()
def history() -> None:
    """Show every rollout, and how it ended."""
    from pipelines.commands.canary import history as show

    show()


def _ask(what: str) -> None:
    from marquee.rollout.state import OperatorRequest
    from pipelines.commands.canary import ask

    ask(OperatorRequest(what))


def main() -> None:
    """Entry point: one line where something is wrong, and the error's own exit code."""
    try:
        cli.main(prog_name=Path(sys.argv[0]).name, standalone_mode=False)
    except MENDABLE as error:
        give_up("marquee", error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


if __name__ == "__main__":
    main()
