"""`anabranch demo`: a stream that drifts, shadows that compete, a swap, a follower; no server needed."""

import signal
from typing import Annotated

import typer


def demo(
    json: Annotated[bool, typer.Option(help="print the whole result as one line of JSON at the end")] = False,
    seed: Annotated[int, typer.Option(help="seed of the simulated payments and of the model")] = 1,
    events: Annotated[int, typer.Option(min=2_000, help="number of payments, rounded to whole reports")] = 36_000,
    rate: Annotated[float, typer.Option(min=50, help="payments per second")] = 800.0,
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="show it in the browser too; never with --json")
    ] = True,
) -> None:
    """Demonstrate everything on simulated card payments whose fraud changes tactics three times; takes about a minute.

    Kafka is embedded; the learner and a follower run in separate processes. The changes are at fixed points in the
    stream. Retraining takes some seconds, so a faster or shorter stream leaves less time to respond to a change.
    """
    import orjson
    import structlog
    from rich.console import Console

    from commands.demo import processes as setup
    from commands.demo import screen as view
    from commands.demo import summary
    from commands.demo.run import Demo

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # the view says it all
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # an end from outside ends the other processes too
    whole = events // setup.REPORT_EVENTS * setup.REPORT_EVENTS
    console = Console()
    try:
        with view.view(console, rate=rate, live=console.is_terminal and not json) as show:
            demo = Demo(seed=seed, events=whole, rate=rate, show=show, dashboard=dashboard and not json)
            result = demo.run()
    except KeyboardInterrupt:
        typer.echo("stopped before the end", err=True)
        raise typer.Exit(130) from None
    if json:
        print(orjson.dumps(result).decode())
    else:
        summary.show(result, console)
