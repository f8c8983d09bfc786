"""The gate of the page: which requests come in, how large they may be, and how many of one visitor at once.

Gradio serves much that this page never asks for (functions of components, recordings, a proxy, files fetched from any
address), obeys what other sites send, and bounds files where it should bound requests. All of it lies behind this gate,
which lets in what the scripts of the page ask for, and answers everything else with a status of 4xx and one line. What
fails inside has one line on stderr; where the system is to blame, as by a full disk, the status is 5xx.
"""

import asyncio
import errno
import os
import re
import socket
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cycle_sound.app.terminal import complain
from cycle_sound.app.web import connections, uploads
from cycle_sound.io import files

MAX_FILE = 32 << 20  # bytes: a minute of 48 kHz float WAV has 12 MB, a large photograph 20, a minute's film 30 or less
MAX_UPLOAD = MAX_FILE + (1 << 16)  # bytes of a request that sends a file, or the three pictures of a drawing
MAX_CALL = 1 << 16  # bytes of any other request: numbers and paths
MAX_SECONDS = 120.0  # until a request has arrived: the largest file at 2 Mbit/s
MAX_OPEN = 32  # requests of one visitor at once: a browser has six, a household some browsers
MAX_WAITING = 2  # results of one visitor that are made or waited for: two minutes each, at most

API = "/gradio_api"
JOIN, STREAM, UPLOAD = f"{API}/queue/join", f"{API}/queue/data", f"{API}/upload"
SESSION = r"[A-Za-z0-9_-]{1,64}"
READ = re.compile(  # what the page reads
    rf"/|/config/?|/logout|/(assets|static|svelte)/.+|/(favicon\.ico|manifest\.json|robots\.txt|theme\.css)"
    rf"|{API}/(theme\.css|startup-events|info/?|user/?|login_check/?|file=(/|[A-Za-z]:[/\\]).+|heartbeat/{SESSION}|queue/data)"
)
OF_NAMES = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)  # that a visitor may send
LOCAL = ("localhost", "127.0.0.1", "::1")


def is_local(host: str) -> bool:
    """Whether a server on this host hears programs of this machine alone."""
    name = host.strip("[]")
    return name in LOCAL or (_is_address(name) and ip_address(name).is_loopback)


# --- what a press of a button sends


def _uploaded(path: str) -> str:
    if not uploads.holds(path):
        raise ValueError("not an uploaded file")
    return path


class _Part(BaseModel):
    """A part of a message. What it does not know is dropped, so that gradio does not read it either."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Meta(_Part):
    type: Literal["gradio.FileData"] = Field(alias="_type")


class _File(_Part):
    path: Annotated[str, AfterValidator(_uploaded)]
    meta: _Meta


class _Drawing(_Part):
    composite: _File | None


class _Call(_Part):
    """What the page sends when a button is pressed: the function, and a value for each of its inputs."""

    session_hash: Annotated[str, Field(pattern=f"^{SESSION}$")]
    fn_index: int
    trigger_id: int | None = None
    data: list[_File | _Drawing | bool | int | FiniteFloat | None]


# --- the gate


class Gate:
    """ASGI middleware around gradio's application.

    `host` is the address that the server listens on, `names` are the names by which a proxy before it is known.
    `listening` counts the open streams of results by session, for whoever works to see whether somebody still waits.
    Files in `kept` are never deleted to make room.
    """

    def __init__(
        self, app: ASGIApp, host: str, names: Collection[str], listening: Counter[str], kept: Collection[Path]
    ) -> None:
        self._app, self._listening, self._kept = app, listening, kept
        self._others = not is_local(host)
        public = {name.lower() for name in names}
        own = {*LOCAL, host.lower().strip("[]"), *([socket.gethostname().lower()] if self._others else [])}
        self._names = own | public
        self._origins = {f"{scheme}://{name}" for scheme in ("http", "https") for name in public}
        self._open: Counter[str] = Counter()  # requests by visitor
        self._joining: Counter[str] = Counter()  # of them, presses of a button that are not in the queue yet
        self._posts: dict[str, ASGIApp] = {
            JOIN: RequestBodyLimitMiddleware(self._join, MAX_CALL),
            UPLOAD: RequestBodyLimitMiddleware(self._upload, MAX_UPLOAD),
            "/login": RequestBodyLimitMiddleware(app, MAX_CALL),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request, answer = Request(scope, receive), _Answer(send)
        try:
            self._check_site(request)
            app = self._asked(request)
            with self._place(request):
                await app(scope, receive, answer)
        except HTTPException as refusal:
            await JSONResponse({"detail": refusal.detail}, refusal.status_code)(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:  # of what no script of the page asks, gradio may raise almost anything
            if answer.begun:
                raise
            with suppress(OSError):  # of a log on the same disk
                complain(f"{request.method} {request.scope['path']:.100}: {type(error).__name__}: {error!s:.200}")
            status, detail = _fault(error)
            await JSONResponse({"detail": detail}, status)(scope, receive, send)

    def _check_site(self, request: Request) -> None:
        """Refuse what another site's page sends, and what came here by a name that is not this server's.

        The latter is how a foreign site becomes "the same" to a browser: it lets its own name point here. An address
        cannot be made to point elsewhere. A proxy may pass on either the name that it was asked by or this server's.
        """
        host = request.headers.get("host", "").lower()
        name = re.sub(r":\d+$", "", host).strip("[]")
        if name not in self._names and not (self._others and _is_address(name)):
            raise HTTPException(421, f"not a name of this server; if it is, start it with --name {name:.100}")
        origin = request.headers.get("origin")
        if origin is not None and not self._is_own(origin.lower(), host):
            raise HTTPException(403, "another site's page may not ask this")
        foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")  # absent where it is not secure
        if foreign and request.headers.get("sec-fetch-dest") != "document":  # a link to the page is welcome
            raise HTTPException(403, "another site's page may not ask this")

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page of this origin is this server's, which was asked by the name `host`."""
        return origin in self._origins or origin.partition("://")[2] == host

    def _asked(self, request: Request) -> ASGIApp:
        """The application for a request. Raises HTTPException for what the page does not ask for."""
        path = request.scope["path"]
        if request.method == "POST" and path in self._posts:
            return self._timed(self._posts[path])
        if request.method in ("GET", "HEAD") and READ.fullmatch(path):
            return self._stream if path == STREAM else self._app
        raise HTTPException(404, "the page does not ask this")

    @contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        """Count an open request. Raises HTTPException where its visitor has too many."""
        visitor = _visitor(request)
        if self._open[visitor] >= MAX_OPEN:
            raise HTTPException(429, f"more than {MAX_OPEN} requests at once")
        with _counted(self._open, visitor):
            yield

    def _timed(self, app: ASGIApp) -> ASGIApp:
        """The application with MAX_SECONDS to read the request and to answer it."""

        async def timed(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    await app(scope, receive, send)
            except TimeoutError:
                raise HTTPException(408, f"not sent within {MAX_SECONDS:.0f} s") from None

        return timed

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Results, as they come, for a session that has asked for some."""
        session = Request(scope).query_params.get("session_hash", "")
        if session not in scope["app"].get_blocks()._queue.pending_messages_per_session:
            raise HTTPException(404, "no such session")
        with _counted(self._listening, session):
            await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A file; without a query, by which gradio would remember how far each upload has come, for ever."""
        await run_in_threadpool(uploads.tidy, self._kept)
        await self._app({**scope, "query_string": b""}, receive, send)

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A press of a button."""
        request, blocks = Request(scope, receive), scope["app"].get_blocks()
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise HTTPException(415, "not JSON")
        call = _call(await request.body(), blocks.fns)
        visitor = _visitor(request)
        events = blocks._queue.event_ids_to_events.values()
        waiting = sum(_visitor(event.request) == visitor for event in events) + self._joining[visitor]
        if waiting >= MAX_WAITING:
            raise HTTPException(429, f"{waiting} results are on their way to you: wait for one of them")
        with _counted(self._joining, visitor):
            await self._app(scope, _replayed(call.model_dump_json(by_alias=True).encode(), receive), send)


def _fault(error: Exception) -> tuple[int, str]:
    """The status and the words for what gradio raises: of a system's error the server's fault, else the visitor's."""
    if not isinstance(error, OSError) or error.errno is None or error.errno in OF_NAMES:
        return 400, f"not what the page asks: {type(error).__name__}"
    return 507 if error.errno in files.FULL else 503, f"the server: {os.strerror(error.errno)}"


def _call(body: bytes, functions: dict[int, Any]) -> _Call:
    """A press of a button, read from JSON. Raises HTTPException for anything else."""
    try:
        call = _Call.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise HTTPException(422, f"not what the page sends: {place}: {first['msg']}") from None
    function = functions.get(call.fn_index)
    if function is None or len(function.inputs) != len(call.data):
        raise HTTPException(422, "not what the page sends: no function of so many inputs")
    return call


# --- requests


def _visitor(connection: HTTPConnection) -> str:
    """Who a request comes from: perhaps by a proxy on this machine, whose word uvicorn takes for the address."""
    return connections.visitor(connection.client.host if connection.client else "")


def _is_address(name: str) -> bool:
    """Whether a host is named by its IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _Answer:
    """A channel to a visitor that knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body first, then what `receive` gives."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


@contextmanager
def _counted(counter: Counter[str], key: str) -> Iterator[None]:
    """One more of a key while the context lasts; a key of which there are none is forgotten."""
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]
