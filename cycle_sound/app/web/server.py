"""The page, served behind its gate, and its uploads deleted in time."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from cycle_sound.app import cycle_page
from cycle_sound.app.terminal import complain, say
from cycle_sound.app.web import connections, gate, uploads
from cycle_sound.app.web.sessions import Page
from cycle_sound.errors import BadAddress, BadLogin

SESSIONS = 100  # whose settings gradio remembers, in some 100 kB each; a forgotten one just goes on
TIDY_EVERY = 60.0  # seconds
WAIT = 0.1  # seconds: a wait without end would let no interrupt through on Windows
FONT = ("system-ui", "sans-serif")  # the browser's own: gradio's come from a server


def serve(blocks: Page, host: str, port: int, auth: str | None = None, names: Collection[str] = ()) -> None:
    """Serve a page as `start` does, print its address, and go on until an interrupt, which closes the page."""
    start(blocks, host, port, auth, names)
    say(f"http://{_in_url(host.strip('[]'))}:{port}")
    try:
        while blocks.is_running:
            time.sleep(WAIT)
    finally:
        blocks.close(verbose=False)


def start(blocks: Page, host: str, port: int | None, auth: str | None = None, names: Collection[str] = ()) -> str:
    """Begin to serve a page, in another thread, until it is closed; return its address.

    `port`: None for any that is free. `auth` is the NAME:PASSWORD that visitors are asked for, `names` are those of a
    proxy before the page. Raises `BadLogin` as `login` does, and `BadAddress` where the page cannot be served.
    """
    visitors, host = login(host, auth, names), host.strip("[]")
    _check_address(host, port or 0)
    kept = uploads.files()  # the examples
    door = Middleware(gate.Gate, host=host, names=names, listening=blocks.listening, kept=kept)
    with _without_proxies():  # by which gradio would ask its own page whether it is there
        _, address, _ = blocks.launch(
            server_name=_in_url(host),
            server_port=port,
            auth=visitors,
            max_file_size=gate.MAX_FILE,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            share=False,
            mcp_server=False,
            num_workers=0,  # they would listen at ports of their own, before no gate
            run_history=False,
            state_session_capacity=SESSIONS,
            footer_links=[],
            enable_monitoring=False,
            app_kwargs={"middleware": [door], "lifespan": partial(_tidied, blocks=blocks, kept=kept)},
            theme=gr.themes.Base(font=FONT, font_mono=("ui-monospace", "monospace")),
            css=cycle_page.STYLE,
        )
    config = blocks.server.config  # of uvicorn, which asks it at every connection; gradio has no option for it
    config.http_protocol_class = connections.bounded(config.http_protocol_class)
    config.ws_protocol_class = None  # the page opens no WebSockets, which go past gate and count
    return address


def login(host: str, auth: str | None, names: Collection[str] = ()) -> tuple[str, str] | None:
    """The name and the password of NAME:PASSWORD, or none for a host that only this machine reaches.

    Raises `BadLogin` for any other host, or the `names` of a proxy, without them, and where one of them is empty.
    """
    if auth is None:
        for name in (host, *names):
            if not gate.is_local(name):
                raise BadLogin(f"{name}: other machines can reach the page: give --auth NAME:PASSWORD")
        return None
    name, _, password = auth.partition(":")
    if not name or not password:
        raise BadLogin("--auth: must be NAME:PASSWORD")
    return name, password


def _in_url(host: str) -> str:
    """A host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _check_address(host: str, port: int) -> None:
    """Raise `BadAddress` where nothing can listen: gradio would advise options of its own."""

    async def listen(name: str) -> None:
        (await asyncio.get_running_loop().create_server(asyncio.Protocol, name, port)).close()

    for name in (host, "127.0.0.1"):  # gradio wants a port that is free here as well
        try:
            with ThreadPoolExecutor(1) as apart:  # the caller's thread may have a loop
                apart.submit(asyncio.run, listen(name)).result()
        except (OSError, UnicodeError) as error:
            of_port = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            reason = getattr(error, "strerror", None) or str(error)
            raise BadAddress(f"{f'--port {port}' if of_port else f'--host {host}'}: {reason}") from None


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Let httpx ask every server itself, whatever proxies the environment names."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    os.environ.update(dict.fromkeys(before, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@asynccontextmanager
async def _tidied(_: Any, blocks: Page, kept: set[Path]) -> AsyncIterator[None]:
    """Delete old uploads while the server runs, and let gradio forget them."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY)
            try:
                await run_in_threadpool(uploads.tidy, kept)
            except OSError as error:  # as from a full disk; the next time comes
                complain(f"uploads cannot be deleted: {error!s:.200}")
            left = {str(path) for path in uploads.files()}
            for known in blocks.temp_file_sets:
                known.intersection_update(left)

    task = asyncio.create_task(tidy())
    try:
        yield
    finally:
        task.cancel()
