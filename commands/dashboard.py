"""`anabranch dashboard`: a page in the browser that shows what models say on their topics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from config.output import Dashboard
    from config.settings import Settings

log = structlog.get_logger()


def dashboard(
    configs: Annotated[list[Path], typer.Argument(help="the models' TOML files, all of one Kafka")],
    host: Annotated[str | None, typer.Option(help="address to listen on; default: dashboard.host")] = None,
    port: Annotated[int | None, typer.Option(help="port; default: dashboard.port")] = None,
) -> None:
    """Show models in the browser: errors, contests, swaps, data, versions, dead letters, audit, as they come.

    Everything is read from the topics; the learner is not asked. It keeps nothing: after a start it reads the last day
    again (`dashboard.history`). `[dashboard]` in the first file says where it listens, who may look and who may act.
    """
    import signal
    import sys

    import uvicorn

    from commands import listening
    from config import loading

    several = [loading.load(config) for config in configs]
    given = {"host": host, "port": port}
    shown = several[0].dashboard.model_copy(update={name: each for name, each in given.items() if each is not None})
    listening.refuse_unusable(shown.host, shown.port, of="dashboard")
    app = made(several, shown)
    _say(shown, several)
    # uvicorn raises the signal once more when it has ended.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # Open pages would keep it for twenty seconds otherwise; they connect again by themselves.
    uvicorn.run(
        app,
        host=shown.host,
        port=shown.port,
        timeout_graceful_shutdown=1,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=10_000,
    )


def made(several: "list[Settings]", shown: "Dashboard") -> "Starlette":
    """The application, wired to Kafka."""
    from consumers import keys
    from operations.actions import KafkaSender
    from operations.dashboard import application
    from operations.feed import Feed
    from operations.source import Source
    from operations.tails import Tails, edges_of

    source = Source(several)
    feed = Feed(source, history_s=shown.history, records_max=shown.records_max)
    file = several[0].control.key
    sender = KafkaSender(source.kafka, signer=None if file is None else keys.read(Path(file)))
    return application(feed, shown, sender=sender, tails=Tails(source.kafka, edges=edges_of(several)))


def _say(shown: "Dashboard", several: "list[Settings]") -> None:
    from commands.listening import address_of
    from consumers.keys import is_loopback
    from operations import charts

    address = address_of(shown.host, shown.port)
    names = ", ".join(each.name for each in several)
    typer.echo(f"dashboard of {names} on http://{address}/", err=True)
    if not charts.is_there():
        typer.echo("there are tables in place of charts: `make web` gets what draws them", err=True)
    if not shown.tokens and not is_loopback(address):
        log.warning("everybody may look", host=shown.host, to_do="set dashboard.tokens, or listen on 127.0.0.1")
