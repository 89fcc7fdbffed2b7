"""`anabranch retire` and `anabranch reinstate`: ask a running learner to take its model out of service, and back."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.messages import Decision, Retire

MODEL = Annotated[str, typer.Argument(help="the model's name, or its TOML file")]
REASON = Annotated[str, typer.Option(help="the reason; followers give it to whoever asks for a prediction")]
BY = Annotated[str | None, typer.Option(help="who requests it; default: the current user")]
TOPIC = Annotated[str | None, typer.Option(help="the control topic, including its prefix")]
BOOTSTRAP = Annotated[str | None, typer.Option(help="broker addresses; also ANABRANCH_BOOTSTRAP")]


def retire(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Take a model out of service: its followers answer nothing until it is reinstated; learning goes on.

    It survives restarts and rebuilds. The answer is published on `model-answers`.
    """
    from anabranch.messages import Retire

    ask(Retire, model, "retire", why=reason, by=by, topic=topic, bootstrap=bootstrap)


def reinstate(model: MODEL, reason: REASON, by: BY = None, topic: TOPIC = None, bootstrap: BOOTSTRAP = None) -> None:
    """Put a retired model back into service: what its learner has learned by now is announced at once."""
    from anabranch.messages import Retire

    ask(Retire, model, "reinstate", why=reason, by=by, topic=topic, bootstrap=bootstrap)


def ask(
    kind: "type[Retire] | type[Decision]",
    model: str,
    step: str,
    *,
    of: str = "",
    why: str,
    by: str | None,
    topic: str | None,
    bootstrap: str | None,
    **more: object,
) -> None:
    """Request a step of a model's learner, and say where the answer will be.

    Args:
        of: what of the model it is about, for people.
        more: what else the request says, by its key.
    """
    import getpass
    import time
    import uuid

    from commands.retrain import send

    def request(name: str) -> "Retire | Decision":
        told = {
            "id": uuid.uuid4().hex,
            "model": name,
            "ts": time.time(),
            "why": why,
            "by": by or getpass.getuser(),
            **more,
        }
        return kind.model_validate({**told, "step": step})

    asked, where, answers = send(model, request, topic=topic, bootstrap=bootstrap)
    asking = "approve" if step == "envelope" else step
    print(f"requested to {asking} {of}{asked.model}: {asked.id} on {where}; the answer will be on {answers}")
