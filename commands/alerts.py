"""`anabranch alerts`: judges models by `[alerts]` and tells the sinks; shows what would be told; tries the sinks."""

import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from operations.alerts.book import Entry
    from operations.alerts.delivery import Delivery
    from operations.alerts.watching import Watcher

app = typer.Typer(
    no_args_is_help=True, help="Alerts: judge models and tell the sinks, show what would be told, try the sinks."
)

Configs = Annotated[list[Path], typer.Argument(help="the models' TOML files")]


@app.command()
def run(
    configs: Configs,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="answer Prometheus there; 0: any port; default: not at all")
    ] = None,
) -> None:
    """Judge the models every few seconds by what their topics say, and tell the sinks, until SIGTERM or Ctrl-C.

    It is a process of its own, needs no learner, and reads the topics only. After a restart it knows again from the
    topics what fires and since when, and tells that once more.
    """
    from operations.alerts.watching import Watcher, WatcherCollector
    from operations.metrics import PictureCollector, exported

    several = _settings(configs)
    deliveries = _deliveries(several[0])
    watcher, stopping = Watcher(several, deliveries), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        if metrics_port is not None:
            collectors = (PictureCollector(lambda: watcher.picture, lock=watcher.lock), WatcherCollector(watcher))
            host = several[0].metrics.host
            port = stack.enter_context(exported(*collectors, host=host, port=metrics_port))
            typer.echo(f"metrics on http://{host}:{port}/metrics", err=True)
        for each in deliveries:
            each.start()
            stack.callback(each.stop)
        names, sinks = ", ".join(each.name for each in several), ", ".join(each.name for each in deliveries)
        typer.echo(f"watching {names}; telling {sinks or 'nobody'}; Ctrl-C ends it", err=True)
        watcher.run(stopping)


@app.command()
def test(config: Annotated[Path, typer.Argument(help="the model's TOML file")]) -> None:
    """Send a test alert to every sink, once, and say what came of it. Exit code 1: one of them did not take it."""
    from operations.alerts.notice import Notice, link, told_as
    from operations.alerts.rules import Key

    (settings,) = _settings([config])
    now_s, key = time.time(), Key("test", settings.name, "global")
    notice = Notice(
        id=told_as(key),
        state="test",
        key=key,
        severity="info",
        value=1.0,
        threshold=0.0,
        unit="test",
        since_s=now_s,
        ended_s=now_s,
        summary=f"{settings.name}: a test of the alerts",
        to_do="Nothing: somebody has asked for it with `anabranch alerts test`.",
        link=link(settings.alerts.dashboard, key),
    )
    failed = False
    for each in _deliveries(settings):
        outcome = each.sink.tell([notice])
        failed = failed or not outcome.is_well
        typer.echo(f"{each.name} ({each.configured.use}): {'ok' if outcome.is_well else 'FAILED'}, {outcome.said}")
    if failed:
        raise typer.Exit(1)


@app.command(name="list")
def listed(
    configs: Configs, json: Annotated[bool, typer.Option("--json", help="print one JSON object for each")] = False
) -> None:
    """Show what fires now, or is about to, as the topics say; nobody is told. Nothing is printed where all is well."""
    import orjson

    from operations.alerts.watching import Watcher

    watcher = Watcher(_settings(configs), [])
    with watcher.opened() as reading:
        watcher.catch_up(reading)
    # Whoever asks once has no time to listen: what was silent until now is.
    watcher.listening_s = 0.0
    watcher.judge(time.time())
    for row in _rows(watcher):
        if json:
            typer.echo(orjson.dumps(row).decode())
        else:
            typer.echo("{state:8} {severity:8} {summary} (since {since})\n         {to_do}".format(**row))


def _rows(watcher: "Watcher") -> list[dict[str, Any]]:
    entries = sorted(watcher.book.entries.values(), key=lambda each: (not each.fires, each.judged.key))
    return [_row(each, watcher.settings.dashboard) for each in entries]


def _row(entry: "Entry", dashboard: str) -> dict[str, Any]:
    from operations.alerts.notice import notice
    from operations.alerts.sinks import moment

    told = notice(entry.judged, state="firing", since_s=entry.since_s, ended_s=None, dashboard=dashboard).as_json()
    state = "silenced" if entry.silenced else "firing" if entry.fires else "pending"
    return {**told, "state": state, "since": moment(entry.since_s), "silenced": entry.silenced}


def _settings(configs: list[Path]) -> "list[Settings]":
    from config import loading

    return [loading.load(each) for each in configs]


def _deliveries(settings: "Settings") -> "list[Delivery]":
    from operations.alerts.delivery import Delivery
    from operations.alerts.sinks import sink_of

    sinks = settings.alerts.sinks.items()
    return [Delivery(name, each, sink_of(each), seed=settings.seed) for name, each in sinks]
