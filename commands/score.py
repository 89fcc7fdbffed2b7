"""`anabranch score`: answers requests over HTTP by the models that learners announce."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import structlog
import typer

log = structlog.get_logger()


def score(
    configs: Annotated[list[Path], typer.Argument(help="the models' TOML files")],
    host: Annotated[str | None, typer.Option(help="address to listen on; default: score.host")] = None,
    port: Annotated[int | None, typer.Option(help="port; default: score.port")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that share the port")] = 1,
    learn_along: Annotated[
        bool, typer.Option("--learn-along", help="learn along, and answer by the learner's model of this moment")
    ] = False,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="also answer each event of the events topic, on model-predictions")
    ] = False,
    partition: Annotated[
        int | None, typer.Option(help='with scope = "partition": serve the model of this one alone; default: all')
    ] = None,
) -> None:
    """Answer requests over HTTP by the newest announced models: Open Inference Protocol, /api/predict, /metrics, /docs.

    With --predictions every record of the events topic is answered as well, exactly once, by the scorers that share it.
    It needs the topics of updates and artifacts, not the learner. SIGTERM and Ctrl-C stop it after the requests in
    flight. `[score]` in the first file says how many it takes at once, how long they may be, and who may ask.
    """
    from commands import listening, wiring
    from serving import server
    from serving.metrics import SHARED_FOLDER

    given = {"host": host, "port": port, "learn_along": learn_along or None, "predictions": predictions or None}
    overrides = {name: value for name, value in given.items() if value is not None}
    several = server.loaded(configs, overrides)
    is_of_all = several[0].scope == "partition" and partition is None
    scope, first = None if is_of_all else wiring.scope_of(several[0], partition), several[0].score
    listening.refuse_unusable(first.host, first.port, of="score")
    _say(first.host, first.port, names=", ".join(map(str, configs)), is_open=not first.tokens)
    with tempfile.TemporaryDirectory(prefix="anabranch-score-") as folder:
        if workers > 1:
            os.environ[SHARED_FOLDER] = folder
        server.run(configs, several, overrides=overrides, workers=workers, scope=scope)


def _say(host: str, port: int, *, names: str, is_open: bool) -> None:
    from commands.listening import address_of
    from consumers.keys import is_loopback

    address = address_of(host, port)
    typer.echo(f"scoring {names} on http://{address}/  (how to ask: /docs; whether it answers: /readyz)", err=True)
    if is_open and not is_loopback(address):
        log.warning(
            "everybody may ask",
            host=host,
            to_do="set score.tokens, as in ANABRANCH_SCORE__TOKENS='[\"…\"]', or listen on 127.0.0.1",
        )
