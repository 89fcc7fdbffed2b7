"""A fraud check in a service of your own: it follows the model, and refuses payments that look like fraud.

    pip install anabranch-client starlette uvicorn     # `make client` builds the first
    uvicorn --app-dir examples fraud_service:app

    curl localhost:8000/check -d '{"amount": 950.0, "hour": 3, "country": "PL"}'

Without a model, or with one older than ten minutes, payments are let through to be looked at later.
"""

from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from anabranch import follow
from anabranch.errors import ModelTooOld, NoChampionYet

fraud = follow("fraud", kafka={"bootstrap.servers": "localhost:9092"}, max_age=600)


async def check(request):
    payment = await request.json()
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
