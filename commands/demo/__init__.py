"""`anabranch demo`: a stream that drifts, shadows that compete, a swap, a follower; no server needed."""

import signal
from typing import Annotated

import typer


def demo(
    json: Annotated[bool, typer.Option(help="end with everything that came of it as one line of JSON")] = False,
    seed: Annotated[int, typer.Option(help="of the simulated payments and of the model")] = 1,
    events: Annotated[int, typer.Option(min=2_000, help="payments, rounded to whole reports")] = 36_000,
    rate: Annotated[float, typer.Option(min=50, help="payments a second")] = 800.0,
) -> None:
    """Show it all on simulated card payments whose fraud changes its tactics three times; it takes about a minute.

    Kafka is embedded, the learner and a follower are processes of their own. The changes are at fixed parts of the
    stream. Retraining takes some seconds, so a stream that is faster or shorter leaves less time to answer a change.
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
            result = Demo(seed=seed, events=whole, rate=rate, show=show).run()
    except KeyboardInterrupt:
        typer.echo("stopped before the end", err=True)
        raise typer.Exit(130) from None
    if json:
        print(orjson.dumps(result).decode())
    else:
        summary.show(result, console)
