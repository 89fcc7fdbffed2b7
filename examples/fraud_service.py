"""A fraud check in a service of your own: it follows the model, and refuses payments that look like fraud.

    pip install anabranch-client starlette uvicorn     # `make client` builds the first
    uvicorn --app-dir examples fraud_service:app

    curl localhost:8000/check -d '{"amount": 950.0, "hour": 3, "country": "PL"}'

Without a model, or with one older than ten minutes, payments are let through to be looked at later. A body that is no
payment is refused: a model would take the words of a wrong field for something that it has not seen yet.
"""

from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from anabranch import follow
from anabranch.errors import ModelTooOld, NoChampionYet

fraud = follow("fraud", kafka={"bootstrap.servers": "localhost:9092"}, max_age=600)
NUMBERS, WORDS = ("amount", "hour"), ("country",)


def fault_of(payment):
    """What is wrong with it, for who has sent it; nothing if it can be judged."""
    if not isinstance(payment, dict):
        return 'a payment is a JSON object, as {"amount": 950.0}'
    for name in NUMBERS:
        value = payment.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:  # nor NaN
            return f"{name} must be a number"
    for name in WORDS:
        if not isinstance(payment.get(name, ""), str):
            return f"{name} must be a string"
    return None


async def check(request):
    try:
        payment = await request.json()
    except ValueError:
        return JSONResponse({"error": "the body is no JSON"}, status_code=400)
    if fault := fault_of(payment):
        return JSONResponse({"error": fault}, status_code=422)
    try:
        champion = fraud.champion  # once: the version that is told is the one that has answered
        risk = champion.predict_proba_one(payment).get(True, 0.0)
    except (NoChampionYet, ModelTooOld) as error:
        return JSONResponse({"decision": "look at it later", "reason": str(error)})
    decision = "refuse" if risk > 0.8 else "accept"
    return JSONResponse({"decision": decision, "risk": risk, "version": champion.update.version})


@asynccontextmanager
async def lifespan(app):
    with fraud:
        yield


app = Starlette(routes=[Route("/check", check, methods=["POST"])], lifespan=lifespan)
