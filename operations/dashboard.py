"""The dashboard as an ASGI application: the page, snapshots by GET, what changes by WebSocket, and actions by POST."""

import asyncio
import gzip
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from anabranch.errors import KafkaUnavailable
from config.output import Dashboard
from operations import charts, snapshot, stories
from operations.access import COOKIE, Access, Gate
from operations.actions import BY_NAME, Asked, Sender
from operations.feed import Feed, Key
from operations.live import OVERVIEW, Hub, described
from operations.metrics import metrics_text
from operations.picture import ModelPicture, Picture
from operations.tails import Tails

WEB = Path(__file__).parent / "web"
BODY_MAX = 10_000
GZIP_LEVEL = 4
PAST_MAX = 4
"""Moments of the past that are kept, since whoever looks at one looks at several screens of it."""

TAILED = ("events", "labels", "examples", "predictions", "learned", "control")
"""Topics that can be looked at besides those of which the picture is made, by their keys in `[topics]`."""


def application(
    feed: Feed, dashboard: Dashboard, *, sender: Sender, tails: Tails, clock: Callable[[], float] = time.time
) -> Starlette:
    """The application; the feed runs as long as it does."""
    screens = Screens(feed, dashboard, sender=sender, tails=tails, clock=clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        with feed:
            telling = asyncio.create_task(screens.hub.run())
            yield
            telling.cancel()
            for page in list(screens.hub.pages):
                page.ended.set()
            await run_in_threadpool(tails.close)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, status_code=error.status_code)

    async def unavailable(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=503)

    handlers: dict[Any, Any] = {HTTPException: refused, KafkaUnavailable: unavailable}
    app = Starlette(routes=screens.routes(), lifespan=lifespan, exception_handlers=handlers)
    app.add_middleware(Gate, access=screens.access)
    app.state.screens = screens
    return app


class Screens:
    """The endpoints."""

    def __init__(
        self, feed: Feed, dashboard: Dashboard, *, sender: Sender, tails: Tails, clock: Callable[[], float]
    ) -> None:
        self.feed, self.dashboard, self.sender, self.tails, self.clock = feed, dashboard, sender, tails, clock
        self.access = Access(dashboard)
        self.hub = Hub(feed, queue_max=dashboard.queue_max, clock=clock)
        self.topics = {
            each.topics.name(key): key for each in feed.source.by_model.values() for key in TAILED
        } | feed.source.keys
        self._past: OrderedDict[int, Picture] = OrderedDict()
        self._reading_past = asyncio.Lock()

    def routes(self) -> list[Any]:
        """All routes."""
        model = "/api/models/{model}/{scope}"
        return [
            Route("/", self.page),
            Route("/healthz", self.healthz),
            Route("/metrics", self.metrics),
            Route("/api/session", self.log_in, methods=["POST"]),
            Route("/api/about", self.about),
            Route("/api/models", self.models),
            Route(model, self.model),
            Route(f"{model}/swaps/{{version:int}}", self.swap),
            Route(f"{model}/actions/{{action}}", self.act, methods=["POST"]),
            Route("/api/tail/{topic}", self.tail),
            WebSocketRoute("/live", self.live),
            Mount("/static", StaticFiles(directory=WEB), middleware=[Middleware(GZipMiddleware)]),
        ]

    async def page(self, request: Request) -> Response:
        """The one page; which screen it shows stands behind the # of its address."""
        return FileResponse(WEB / "index.html", media_type="text/html")

    async def healthz(self, request: Request) -> Response:
        """Whether the process is there, and how its feed is."""
        hub = self.hub
        counted = {"pages": len(hub.pages), "encoded": hub.encoded, "sent": hub.sent, "dropped": hub.dropped}
        return JSONResponse({"status": "ok", "feed": described(self.feed), **counted})

    async def metrics(self, request: Request) -> Response:
        """What the topics say, for Prometheus: the same names as a learner exports."""
        if not self.feed.knows_the_past:
            raise HTTPException(503, "the topics are being read; there are metrics once that is done")
        accept = request.headers.get("accept", "")
        text, kind = await run_in_threadpool(metrics_text, self.feed.picture, accept=accept, lock=self.feed.lock)
        return Response(text, headers={"content-type": kind})

    async def log_in(self, request: Request) -> Response:
        """A reader's token, for a cookie that scripts cannot read."""
        mark = self.access.cookie_for(str((await _body(request)).get("token", "")))
        if mark is None:
            raise HTTPException(401, "this token is not one of dashboard.tokens")
        response = JSONResponse({"ok": True})
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, mark, httponly=True, samesite="strict", secure=is_secure, path="/")
        return response

    async def about(self, request: Request) -> Response:
        """What there is besides models: topics, whether charts can be drawn, whether anybody can act."""
        return JSONResponse(
            {
                "topics": sorted(self.topics),
                "charts": charts.is_there(),
                "can_act": bool(self.dashboard.action_tokens),
                "history_s": self.dashboard.history,
                "configured": sorted(self.feed.source.by_model),
            }
        )

    # ── snapshots ───────────────────────────────────────────────────────────────────────────────────────────────

    async def models(self, request: Request) -> Response:
        """A row a model."""
        picture, now_s = await self._picture(request)
        return await self._answer(lambda: {"rows": snapshot.overview(picture, now_s)}, now_s)

    async def model(self, request: Request) -> Response:
        """Everything about one model."""
        picture, now_s = await self._picture(request)
        found = self._found(picture, request)
        return await self._answer(lambda: snapshot.model(found, now_s), now_s)

    async def swap(self, request: Request) -> Response:
        """How one version came about."""
        picture, now_s = await self._picture(request)
        found, version = self._found(picture, request), request.path_params["version"]
        with self.feed.lock:
            story = stories.swap(found, version)
        if story is None:
            raise HTTPException(404, f"no update of version {version} of {found.model} is kept here")
        return await self._answer(lambda: story, now_s)

    async def _picture(self, request: Request) -> tuple[Picture, float]:
        """As things are, or as they were `at` some moment."""
        at = request.query_params.get("at")
        if at is None:
            return self.feed.picture, self.clock()
        try:
            at_s = int(float(at))
        except (ValueError, OverflowError):
            raise HTTPException(400, f"at={at}: write epoch seconds") from None
        async with self._reading_past:
            if at_s not in self._past:
                self._past[at_s] = await run_in_threadpool(self.feed.past, float(at_s))
                while len(self._past) > PAST_MAX:
                    self._past.popitem(last=False)
            self._past.move_to_end(at_s)
        return self._past[at_s], float(at_s)

    def _found(self, picture: Picture, request: Request) -> ModelPicture:
        key: Key = (request.path_params["model"], request.path_params["scope"])
        found = picture.models.get(key)
        if found is None:
            raise HTTPException(
                404,
                f"nothing is known of a model {key[0]} ({key[1]}): is its learner started (anabranch learn CONFIG)?",
            )
        return found

    async def _answer(self, make: Callable[[], dict[str, Any]], now_s: float) -> Response:
        """A snapshot as gzipped JSON, made beside the event loop."""
        about = {"now_s": now_s, "seq": self.hub.seq, "feed": described(self.feed)}

        def packed() -> bytes:
            with self.feed.lock:
                made = make()
            return gzip.compress(orjson.dumps({**about, **made}), GZIP_LEVEL)

        data = await run_in_threadpool(packed)
        return Response(data, media_type="application/json", headers={"Content-Encoding": "gzip"})

    async def tail(self, request: Request) -> Response:
        """The newest records of a topic."""
        topic, query = request.path_params["topic"], request.query_params
        if topic not in self.topics:
            raise HTTPException(404, f"{topic} is no topic of these configurations")
        after = query.get("after", "0")
        if not after.isdigit():
            raise HTTPException(400, f"after={after}: write a whole number")
        tail = await run_in_threadpool(self.tails.of, topic)
        return JSONResponse(tail.newest(wanted=query.get("filter", "")[:200], after=int(after), most=200))

    # ── actions ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def act(self, request: Request) -> Response:
        """Put a request on the control topic; its answer comes with what changes of the model."""
        action, name = BY_NAME.get(request.path_params["action"]), request.path_params["model"]
        if not self.dashboard.action_tokens:
            raise HTTPException(403, "nobody can act from this page: set dashboard.action_tokens")
        if not self.access.may_act(request.headers):
            raise HTTPException(401, "this token is not one of dashboard.action_tokens")
        if action is None:
            raise HTTPException(404, f"there is no action {request.path_params['action']}")
        settings = self.feed.source.by_model.get(name)
        if settings is None:
            raise HTTPException(404, f"give the configuration of {name} to the dashboard to act on it")
        said = await _body(request)
        why, by, about = (str(said.get(each, "")).strip() for each in ("why", "by", "about"))
        if not why or not by or len(why) > 2000 or len(by) > 200:
            raise HTTPException(400, "say who asks (`by`, 200 characters) and why (`why`, 2000 characters)")
        if len(about) > 100:
            raise HTTPException(400, "say what is decided (`about`) as it was offered")
        asked = action.request(Asked(name, why, by, self.clock(), about))
        await run_in_threadpool(self.sender.send, settings.topics.name("control"), asked, key=name)
        return JSONResponse({"request": getattr(asked, "id", ""), "undo": action.undo}, status_code=202)

    # ── live ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def live(self, socket: WebSocket) -> None:
        """What changes of what the page shows; it says what that is, and may change its mind."""
        if len(self.hub.pages) >= self.dashboard.clients_max:
            await socket.close(1013, "too many pages are open (dashboard.clients_max)")
            return
        await socket.accept()
        page = self.hub.enter()
        try:
            several = (_send(socket, page), _hear(socket, page), page.ended.wait())
            tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(each) for each in several]
            _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in left:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if page.ended.is_set():
                with suppress(RuntimeError):
                    await socket.close(1013 if page.is_slow else 1001)
        finally:
            self.hub.leave(page)


async def _send(socket: WebSocket, page: Any) -> None:
    while True:
        data: bytes = await page.queue.get()
        await socket.send_text(data.decode())


async def _hear(socket: WebSocket, page: Any) -> None:
    """`{"show": ["fraud", "global"]}`, or `{"show": []}` for the overview."""
    with suppress(WebSocketDisconnect):
        while True:
            text = await socket.receive_text()
            try:
                shown = orjson.loads(text[:BODY_MAX])["show"]
                page.channel = (str(shown[0]), str(shown[1])) if shown else OVERVIEW
            except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
                return


async def _body(request: Request) -> dict[str, Any]:
    """A small JSON object.

    Raises:
        HTTPException: 400 or 413.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_MAX:
            raise HTTPException(413, f"at most {BODY_MAX} bytes are taken")
    try:
        found = orjson.loads(bytes(data))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body has to be a JSON object")
    return found
