"""The application: routes, and the gate that every request goes through."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from config.output import Score
from serving import binary, pages, protocol, ranking, rows
from serving.explanation.words import sentences
from serving.metrics import Metrics
from serving.models import Answer, Answerer, Models, Served
from serving.refusal import Refusal
from serving.workers import Workers

Endpoint = Callable[[Request], Awaitable[Response]]

AT_A_STRETCH_S = 0.005
"""So long a batch may keep other requests waiting."""

OPEN = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
"""Asked by orchestrators, which bring no token."""


def application(models: Models, score: Score, *, workers: Workers | None = None) -> Starlette:
    """The ASGI application that serves `models`; it follows them as long as it runs.

    Args:
        workers: the processes that share its port, which are asked of readiness too.
    """
    scorer = _Scorer(models, score, workers)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        with models:
            if workers is not None:
                workers.start()
            yield
            if workers is not None:
                workers.stop()

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        table = {"error": error.text}
        # Exactly this key is what the protocol allows.
        if error.field and not request.url.path.startswith("/v2"):
            table["field"] = error.field
        return _json(table, status=error.status, headers=error.headers)

    async def not_routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _json(
            {"error": f"{error.detail}: {request.url.path}; see /docs"}, status=error.status_code, headers=error.headers
        )

    async def crashed(request: Request, error: Exception) -> Response:
        return _json({"error": f"this should not happen, and is in the log: {type(error).__name__}"}, status=500)

    handlers = {Refusal: refused, HTTPException: not_routed, Exception: crashed}
    app = Starlette(routes=scorer.routes(), lifespan=lifespan, exception_handlers=handlers)
    app.add_middleware(_Gate, score=score, metrics=scorer.metrics)
    return app


class _Scorer:
    """The endpoints."""

    def __init__(self, models: Models, score: Score, workers: Workers | None) -> None:
        self.models = models
        self.workers = workers
        self.score = score
        self.metrics = Metrics(models)

    def routes(self) -> list[Route]:
        """All routes. The protocol's have the model's name in them; `/api/predict` does where there are several."""
        model = "/v2/models/{model}"
        version = f"{model}/versions/{{version}}"
        return [
            Route("/api/predict", self.predict, methods=["POST"]),
            Route("/api/models/{model}/predict", self.predict, methods=["POST"]),
            Route("/api/rank", self.rank, methods=["POST"]),
            Route("/api/models/{model}/rank", self.rank, methods=["POST"]),
            Route("/api/explain", self.explain, methods=["POST"]),
            Route("/api/models/{model}/explain", self.explain, methods=["POST"]),
            Route("/api/models", self.listed),
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            *(Route(path, self.metadata) for path in (model, version)),
            *(Route(f"{path}/ready", self.model_ready) for path in (model, version)),
            *(Route(f"{path}/infer", self.infer, methods=["POST"]) for path in (model, version)),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.measured),
            Route("/openapi.json", self.openapi),
            Route("/docs", self.docs),
            Route("/", self.docs),
        ]

    # ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────

    async def predict(self, request: Request) -> Response:
        """`/api/predict`: one event, or a list of events."""
        served, answerer, asked, is_batch = await self._events(request)
        whole, computed = _completed(served, answerer, asked, request)
        answers = await self._answers(served, answerer, whole)
        told = [_told(answerer, *each) for each in zip(whole, answers, computed, strict=True)]
        about = {"model": served.name, **_about(served, answerer)}
        return _json({**about, "predictions": told} if is_batch else {**about, **told[0]})

    async def rank(self, request: Request) -> Response:
        """`/api/rank`: the best items for one user or context."""
        served = self.models.named(request.path_params.get("model"))
        asked = ranking.asked_of(rows.table_of(await self._body(request)), string_max=served.string_max)
        answerer = served.now(_key(request, served, asked.id if asked.user is None else str(asked.user)))
        told = ranking.ranked(answerer, asked, explore=self.score.explore, edge=served.edge)
        self.metrics.predictions_counted(served.name).inc()
        id_ = {} if asked.id is None else {"id": asked.id}
        return _json({**id_, "model": served.name, **_about(served, answerer), **told})

    async def explain(self, request: Request) -> Response:
        """`/api/explain`: why one event, or each of a list of events, is answered as it is."""
        served, answerer, asked, is_batch = await self._events(request)
        found = []
        for row, computed in zip(*_completed(served, answerer, asked, request), strict=True):
            told: dict[str, Any] = {} if row.id is None else {"id": row.id}
            explained = answerer.explained(row.x)
            told |= {**explained.as_json(), "words": sentences(explained)}
            found.append({**told, **({"computed": computed} if computed else {})})
            await asyncio.sleep(0)  # a forest takes some 20 ms, and others wait
        about = {"model": served.name, **_about(served, answerer)}
        return _json({**about, "explanations": found} if is_batch else {**about, **found[0]})

    async def _events(self, request: Request) -> tuple[Served, Answerer, list[rows.Row], bool]:
        """Which model is asked, by which version it answers, of which events, and whether they came as a batch."""
        served = self.models.named(request.path_params.get("model"))
        asked, is_batch = rows.rows_of(
            rows.table_of(await self._body(request)), rows_max=self.score.rows_max, string_max=served.string_max
        )
        asked = [each.within(served.edge) for each in asked]
        # One for the whole request: meanwhile another may come. A batch has no id of its own.
        return served, served.now(_key(request, served, None if is_batch else asked[0].id)), asked, is_batch

    async def infer(self, request: Request) -> Response:
        """The Open Inference Protocol."""
        served = self.models.named(request.path_params["model"])
        table = binary.table_of(await self._body(request), header=request.headers.get(binary.HEADER))
        asked = protocol.rows_of(table, rows_max=self.score.rows_max, string_max=served.string_max)
        asked = [each.within(served.edge) for each in asked]
        answerer = self._version(served, request, key=table.get("id"))
        wanted = protocol.see_outputs(table, answerer)
        whole, _ = _completed(served, answerer, asked, request)
        answers = await self._answers(served, answerer, whole)
        told = protocol.response(answerer, answers, name=served.name, id_=table.get("id"), wanted=wanted)
        outputs = told["outputs"]
        as_bytes = binary.wanted(table, [each["name"] for each in outputs])
        return _json(told, behind=binary.taken_out(outputs, as_bytes))

    async def _body(self, request: Request) -> bytes:
        """The request's body, which has to be here in time and within bounds.

        Raises:
            Refusal: 408, 413 or 415.
        """
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "the request is compressed: send it as it is")
        most, body = self.score.body_max_bytes, bytearray()
        announced = request.headers.get("content-length", "")
        try:
            async with asyncio.timeout(self.score.timeout):
                if announced.isdigit() and int(announced) > most:
                    raise _too_long(most)
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise _too_long(most)
        except TimeoutError:
            raise Refusal(408, f"the request was not here within {self.score.timeout:g} s") from None
        return bytes(body)

    async def _answers(self, served: Served, answerer: Answerer, asked: Sequence[rows.Row]) -> list[Answer]:
        answers, since_s = [], time.perf_counter()
        for number, row in enumerate(asked):
            try:
                answers.append(answerer.answer(row.x))
            except Refusal as refusal:
                field = f"[{number}].{refusal.field}" if len(asked) > 1 else refusal.field
                raise Refusal(refusal.status, refusal.reason, field=field) from refusal
            if time.perf_counter() - since_s > AT_A_STRETCH_S:
                await asyncio.sleep(0)
                since_s = time.perf_counter()
        self.metrics.predictions_counted(served.name).inc(len(answers))
        return answers

    def _version(self, served: Served, request: Request, *, key: Any) -> Answerer:
        """The model for the request's key, if the request names no version; `ANY`: one as good as another."""
        wanted = request.path_params.get("version")
        if wanted is None and key is not ANY:
            return served.now(_key(request, served, key))
        choice = served.choice(_key(request, served, key))
        if wanted is None:
            return choice.champion
        in_use = [each for each in choice if each is not None]
        for answerer in in_use:
            if wanted == str(answerer.version):
                return answerer
        known = " and ".join(str(each.version) for each in in_use)
        raise Refusal(404, f"version {wanted} of {served.name!r} is not in use; version {known} is")

    # ── about the models ────────────────────────────────────────────────────────────────────────────────────────

    async def listed(self, request: Request) -> Response:
        """The models, with what is in use of each."""
        found = []
        for name, each in self.models.parts.items():
            why = each.why_not_ready()
            found.append({"model": name, "ready": False, "reason": why} if why else _described(name, each))
        return _json({"models": found})

    async def server(self, request: Request) -> Response:
        """The protocol's server metadata."""
        return _json({"name": "anabranch", "version": pages.VERSION, "extensions": ["binary_tensor_data"]})

    async def metadata(self, request: Request) -> Response:
        """The protocol's metadata of a model."""
        served = self.models.named(request.path_params["model"])
        return _json(protocol.metadata(self._version(served, request, key=ANY), name=served.name))

    async def live(self, request: Request) -> Response:
        """The protocol's health."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """The protocol's readiness: all models answer."""
        is_ready = not (self.models.why_not_ready() or self._others())
        return _json({"ready": is_ready}, status=200 if is_ready else 503)

    async def model_ready(self, request: Request) -> Response:
        """The protocol's readiness of one model."""
        served = self.models.named(request.path_params["model"])
        why = served.why_not_ready()
        if not why:
            self._version(served, request, key=ANY)
        return _json({"name": served.name, "ready": not why}, status=503 if why else 200)

    # ── about the process ───────────────────────────────────────────────────────────────────────────────────────

    async def healthz(self, request: Request) -> Response:
        """The process is alive."""
        return _json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether all models answer, in all workers; why not."""
        why, others = self.models.why_not_ready(), self._others()
        if not why and not others:
            return _json({"ready": True})
        return _json({"ready": False, "reasons": why, **({"workers": others} if others else {})}, status=503)

    def _others(self) -> dict[str, dict[str, str]]:
        return {} if self.workers is None else self.workers.why_not_ready()

    async def measured(self, request: Request) -> Response:
        """For Prometheus."""
        text, content_type = self.metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    async def openapi(self, request: Request) -> Response:
        """The description for machines."""
        return _json(pages.openapi(list(self.models.by_name)))

    async def docs(self, request: Request) -> Response:
        """The description for people."""
        return Response(pages.page(list(self.models.by_name), str(request.base_url)), media_type="text/html")


KEY = "Anabranch-Key"
"""The header that says whom or what a request is about: while a new champion is rolled out, some keys have that."""


ANY = object()
"""In place of a key: what is asked is not about one."""


def _key(request: Request, served: Served, id_: Any) -> str | None:
    key = request.headers.get(KEY, id_ if served.takes_ids else None)
    return key if isinstance(key, str) and key else None


def _completed(
    served: Served, answerer: Answerer, asked: Sequence[rows.Row], request: Request
) -> tuple[list[rows.Row], list[dict[str, Any]]]:
    """The events with what they lack of the features that the learner computes; and what each of them lacked."""
    key = request.headers.get(KEY) or None  # an id stands for no key here
    computed = [served.computed(answerer, row, key=key) for row in asked]
    return [row.with_computed(found) for row, found in zip(asked, computed, strict=True)], computed


def _about(served: Served, answerer: Answerer) -> dict[str, Any]:
    behind = served.follower.behind
    return {**answerer.about, **({} if behind is None else {"behind": behind})}


def _described(name: str, served: Served) -> dict[str, Any]:
    answerer, canary = served.choice()
    artifact = answerer.champion.artifact
    return {
        "model": name,
        "ready": True,
        **_about(served, answerer),
        "task": artifact.task,
        "features": sorted(artifact.features),
        **({"computed": artifact.derived} if artifact.derived else {}),
        "reason": answerer.champion.update.reason,
        **({} if canary is None else {"canary": {"version": canary.version, "share": canary.champion.update.share}}),
    }


def _told(answerer: Answerer, row: rows.Row, answer: Answer, computed: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {} if row.id is None else {"id": row.id}
    told["prediction"] = answer.value
    if answer.proba is not None:
        told["probabilities"] = answer.proba
    if computed:
        told["computed"] = computed
    missing, unknown = answerer.missing(row.x), answerer.unknown(row.x)
    if missing:
        told["missing"] = missing
    if unknown:
        told["unknown"] = unknown
    return told


def _too_long(most: int) -> Refusal:
    # What is still on its way is not read: the connection cannot be used any more.
    return Refusal(413, f"at most {most} bytes are taken (score.body_max_bytes)", headers={"Connection": "close"})


def _json(table: Any, *, status: int = 200, headers: Any = None, behind: bytes = b"") -> Response:
    """Bytes `behind` the JSON are binary tensors."""
    data = orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    if behind:
        headers = {"Inference-Header-Content-Length": str(len(data))}
    media_type = "application/octet-stream" if behind else "application/json"
    return Response(data + behind, status_code=status, headers=headers, media_type=media_type)


class _Gate:
    """Before the routes: tokens, how many at once; after them: what is measured."""

    def __init__(self, app: ASGIApp, *, score: Score, metrics: Metrics) -> None:
        self.app = app
        self.most = score.concurrency_max
        self.tokens = [each.get_secret_value().encode() for each in score.tokens]
        self.metrics = metrics
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        refusal = self._refusal(scope)
        self.in_flight += 1
        try:
            await (self.app if refusal is None else refusal)(scope, receive, noting)
        except ClientDisconnect:
            status = 499  # as others count it: nobody is there who could be answered
        finally:
            self.in_flight -= 1
            route = getattr(scope.get("endpoint"), "__name__", "none")
            self.metrics.request_counted(route, status).inc()
            self.metrics.request_timed(route).observe(time.perf_counter() - began_s)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["path"] in OPEN:
            return None
        if self.in_flight >= self.most:
            # At once: whoever waits in a queue that is full has given up before it is answered.
            text = (
                f"{self.in_flight} requests are being answered, and no more are taken at once (score.concurrency_max)"
            )
            return _json({"error": text}, status=429, headers={"Retry-After": "1"})
        if self.tokens and not self._is_known(Headers(scope=scope).get("authorization", "")):
            text = "a token is needed: Authorization: Bearer … (one of score.tokens)"
            return _json({"error": text}, status=401, headers={"WWW-Authenticate": "Bearer"})
        return None

    def _is_known(self, authorization: str) -> bool:
        kind, _, token = authorization.partition(" ")
        given = token.strip().encode()
        # All are compared, each in constant time: how long it takes tells nothing of any of them.
        found = [hmac.compare_digest(given, each) for each in self.tokens]
        return kind.lower() == "bearer" and any(found)
