"""`anabranch models`: what the log tells of models and their versions, and a person's word on who answers."""

from pathlib import Path
from typing import Annotated

import typer

from commands import versions
from commands.retire import BOOTSTRAP, BY, MODEL, TOPIC, ask

app = typer.Typer(no_args_is_help=True, help="Models and their versions, as the log tells them; and who answers.")
app.command("list")(versions.listing)
app.command("show")(versions.show)
app.command("diff")(versions.diff)
app.command("compare")(versions.compare)
app.command("export")(versions.export)

OF = "the rollout of "

REASON = Annotated[str, typer.Option(help="the reason; it is recorded in the answer and in the update")]


@app.command()
def approve(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Let the new champion answer for all keys, whatever its rollout still waits for.

    The displaced one can come back by evidence for `arena.probation_events`. The answer is on `model-answers`.
    """
    from anabranch.messages import Decision

    ask(Decision, model, "approve", of=OF, why=reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def withdraw(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Take the new champion back: the displaced one, which followers still have, answers for all keys again.

    The new one competes on as a shadow; what it came from cannot win for `arena.probation_events`.
    """
    from anabranch.messages import Decision

    ask(Decision, model, "withdraw", of=OF, why=reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def promote(
    model: MODEL,
    member: Annotated[str, typer.Option(help="the shadow's name, as reports and the dashboard have it")],
    reason: REASON,
    by: BY = None,
    topic: TOPIC = None,
    bootstrap: BOOTSTRAP = None,
) -> None:
    """Let a shadow take the champion's place without evidence; with a rollout it answers for a share of the keys first.

    The displaced champion can come back by evidence for `arena.probation_events`, or by `rollback`.
    """
    from anabranch.messages import Decision

    ask(Decision, model, "promote", why=reason, by=by, topic=topic, bootstrap=bootstrap, member=member)


@app.command()
def rollback(
    model: MODEL,
    reason: REASON,
    version: Annotated[
        int | None, typer.Option(help="a version whose bytes are still there; default: the one displaced last")
    ] = None,
    by: BY = None,
    topic: TOPIC = None,
    bootstrap: BOOTSTRAP = None,
) -> None:
    """Let a displaced champion answer again, as it has become, while it is in its probation; or any version.

    With --version of one whose probation is over it answers as it was announced, if its bytes are still there.

    What the champion came from cannot win for `arena.probation_events`.
    """
    from anabranch.messages import Decision

    ask(Decision, model, "rollback", why=reason, by=by, topic=topic, bootstrap=bootstrap, version=version)


@app.command()
def pin(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Let nothing take the champion's place until it is unpinned; it goes on learning, and is announced as before."""
    _hold(model, "pin", reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def unpin(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Let better models take the champion's place again."""
    _hold(model, "unpin", reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def freeze(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Stop all learning: models predict and are scored, and nothing is retrained, swapped or announced until thaw.

    What comes meanwhile is never learned. Followers that learn along stop with the announcement that this makes.
    """
    _hold(model, "freeze", reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def thaw(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Let models learn again, from the next event on."""
    _hold(model, "thaw", reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def envelope(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    approve: Annotated[
        bool, typer.Option(help="ask the learner that has come to this envelope to let it count")
    ] = False,
    reason: Annotated[str, typer.Option(help="with --approve: the reason; it is recorded in the answer")] = "",
    by: BY = None,
    topic: TOPIC = None,
    bootstrap: BOOTSTRAP = None,
) -> None:
    """Print the change envelope of a configuration, what may change by itself, and its digest; or approve it.

    Each version names the envelope that it arose in. With `control.envelope = "approved"`, a learner that is started
    with another one goes on learning and predicting, and nothing is swapped by itself until it is approved.
    """
    import sys

    from anabranch.errors import ConfigError
    from anabranch.messages import Decision
    from commands import wiring
    from config import envelope as envelopes

    settings = wiring.settings_at(config)
    digest = envelopes.digest(settings)
    if not approve:
        print(envelopes.canonical(settings).decode(), end="", flush=True)
        print(digest, file=sys.stderr)
        return
    if not reason:
        raise ConfigError("--approve needs a --reason: it is recorded in the answer")
    ask(
        Decision,
        str(config),
        "envelope",
        of=f"{digest} of ",
        why=reason,
        by=by,
        topic=topic,
        bootstrap=bootstrap,
        envelope=digest,
    )


def _hold(model: str, step: str, reason: str, *, by: str | None, topic: str | None, bootstrap: str | None) -> None:
    from anabranch.messages import Decision

    ask(Decision, model, step, why=reason, by=by, topic=topic, bootstrap=bootstrap)
