"""`anabranch models`: a person's word on a champion that is being rolled out."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from commands.retire import BOOTSTRAP, BY, MODEL, TOPIC

if TYPE_CHECKING:
    from anabranch.messages import Decision

app = typer.Typer(no_args_is_help=True, help="Models: approve or withdraw a new champion that is being rolled out.")

REASON = Annotated[str, typer.Option(help="the reason; it is recorded in the answer and in the update")]


@app.command()
def approve(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Let the new champion answer for all keys, whatever its rollout still waits for.

    The displaced one can come back by evidence for `arena.probation_events`. The answer is on `model-answers`.
    """
    _ask(model, "approve", why=reason, by=by, topic=topic, bootstrap=bootstrap)


@app.command()
def withdraw(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Take the new champion back: the displaced one, which followers still have, answers for all keys again.

    The new one competes on as a shadow; what it came from cannot win for `arena.probation_events`.
    """
    _ask(model, "withdraw", why=reason, by=by, topic=topic, bootstrap=bootstrap)


def _ask(
    model: str,
    step: Literal["approve", "withdraw"],
    *,
    why: str,
    by: str | None,
    topic: str | None,
    bootstrap: str | None,
) -> None:
    import getpass
    import time
    import uuid

    from anabranch.messages import Decision
    from commands.retrain import send

    def request(name: str) -> "Decision":
        return Decision(id=uuid.uuid4().hex, model=name, ts=time.time(), step=step, why=why, by=by or getpass.getuser())

    asked, where, answers = send(model, request, topic=topic, bootstrap=bootstrap)
    print(f"requested to {step} the rollout of {asked.model}: {asked.id} on {where}; the answer will be on {answers}")
