"""The `anabranch` command: its verbs, and what a person sees when something is wrong."""

import sys
from collections.abc import Callable
from importlib import metadata
from inspect import getdoc
from typing import Annotated

import typer

from anabranch.errors import AnabranchError, ConfigError, OwnershipLost
from commands import (
    alerts,
    audit,
    backtest,
    calibrate,
    check,
    dashboard,
    demo,
    dlq,
    doctor,
    explain,
    follow,
    followers,
    forget,
    inspect,
    keys,
    learn,
    logs,
    models,
    produce,
    rebuild,
    reproduce,
    retire,
    retrain,
    schema,
    score,
    simulate,
    state,
    topics,
    train,
    watch,
)

# Verbs import what they need when they run: River and librdkafka take a second, which --help must not.
VERBS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "learn": learn.learn,
    "follow": follow.follow,
    "followers": followers.followers,
    "score": score.score,
    "watch": watch.watch,
    "dashboard": dashboard.dashboard,
    "produce": produce.produce,
    "inspect": inspect.inspect,
    "backtest": backtest.backtest,
    "calibrate": calibrate.calibrate,
    "simulate": simulate.simulate,
    "rebuild": rebuild.rebuild,
    "forget": forget.forget,
    "reproduce": reproduce.reproduce,
    "explain": explain.explain,
    "explain-swap": explain.explain_swap,
    "retrain": retrain.retrain,
    "train": train.train,
    "retire": retire.retire,
    "reinstate": retire.reinstate,
    "state": state.state,
    "schema": schema.schema,
    "check": check.check,
    "doctor": doctor.doctor,
}


def flowing(verb: Callable[..., None]) -> str:
    """A verb's docstring with lines as wide as the terminal: they would break where the source does."""
    paragraphs = (getdoc(verb) or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


app = typer.Typer(name="anabranch", no_args_is_help=True, pretty_exceptions_enable=False)
for name, verb in VERBS.items():
    app.command(name, help=flowing(verb))(verb)
app.add_typer(topics.app, name="topics")
app.add_typer(keys.app, name="keys")
app.add_typer(alerts.app, name="alerts")
app.add_typer(models.app, name="models")
app.add_typer(dlq.app, name="dlq")
app.add_typer(audit.app, name="audit")


def _version(asked: bool) -> None:
    if asked:
        print(f"anabranch {metadata.version('anabranch')}, River {metadata.version('river')}")
        raise typer.Exit


@app.callback()
def anabranch(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and exit", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Continual learning on Kafka: learn from every event, notice drift, retrain, swap in what proves better."""


def main() -> None:
    """Run the command; an expected failure is a message and an exit code, never a traceback."""
    logs.configure()
    try:
        app()
    except AnabranchError as error:
        print(f"anabranch: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
    # `anabranch watch … | head` ends like this, and nothing is wrong.
    except BrokenPipeError:
        sys.exit(0)


def exit_code(error: AnabranchError) -> int:
    """2 for the configuration, 75 when another process has taken over, 1 for anything else."""
    if isinstance(error, OwnershipLost):
        return OwnershipLost.exit_code
    return 2 if isinstance(error, ConfigError) else 1


if __name__ == "__main__":
    main()
