"""The page among hostile visitors: each is refused with a reason, and an honest one is served meanwhile."""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageFile
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from typer.testing import CliRunner

pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cycle-sound[web]'")

from interrupting import NEVER, said, started
from visitors import API, CYCLE, DRAWING, FILM, HOSTILE, PICTURE, SOUND, Answer, Visitor, film, png, swollen, wav

from cycle_sound.app.cli import app
from cycle_sound.app.web import button, connections, controls, gate, making, reading, server, uploads
from cycle_sound.app.web import page as pages
from cycle_sound.app.web.sessions import Page
from cycle_sound.errors import BadAddress, BadLogin
from cycle_sound.inference import engine
from cycle_sound.inference.system import CycleSound
from cycle_sound.media import sound_files
from cycle_sound.params import SamplingConfigs

OTHER = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"  # elsewhere a machine has one address of its own
WORDS = {  # of each kind, what somebody is told in the end
    "oversized_picture": "more than",
    "huge_body": "413",
    "wrong_type": "415",
    "other_site": "403",
    "other_host": "421",
    "traversal": "not an uploaded file",
    "component_server": "404",
    "malformed_json": "422",
    "wild_numbers": "no more than 160 in all",
    "unknown_session": "no such session",
    "long_text": "413",
    "many_at_once": "429",
    "abandoned": "no such session",
    "swollen_sound": "no more than 60 s",
    "hostile_film": "no more than 60 s of film",
    "odd_requests": "not what the page asks",
}


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


@pytest.fixture(scope="module")
def blocks(system: CycleSound) -> Iterator[Page]:
    blocks = pages.page(system)
    yield blocks
    blocks.close()


@pytest.fixture(scope="module")
def page(blocks: Page) -> str:
    return server.start(blocks, "127.0.0.1", None).rstrip("/")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(button, "PATIENCE", 5.0)  # seconds, in which a visitor on a loaded machine listens


def served(page: str) -> Answer:
    """What an honest visitor gets."""
    with Visitor(page, OTHER) as visitor:
        return visitor.press(PICTURE, visitor.upload("bell.png", png()))


def settled(blocks: Page) -> bool:
    """Whether, before long, nothing is waited for or worked on."""
    for _ in range(6000):
        if not blocks._queue.event_ids_to_events and not blocks.listening:
            return True
        time.sleep(0.02)
    return False


GET = b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
SILENT = {
    "nothing": b"",
    "half a header": GET[:-2],
    "a request, then nothing": GET,
    "a request and a half": GET + GET[:9],
}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT)
def test_a_connection_that_asks_for_nothing_is_closed(page: str, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "MAX_SILENCE", 0.3)
    url = urlsplit(page)
    with socket.create_connection((url.hostname, url.port), timeout=100) as line:
        line.sendall(sent)
        with suppress(ConnectionResetError):
            while line.recv(1 << 16):
                pass


def test_a_connection_with_an_open_request_stays(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_SILENCE", 0.1)
    url = urlsplit(page)
    with socket.create_connection((url.hostname, url.port), timeout=100) as line:
        head = f"POST {API}/queue/join HTTP/1.1", f"Host: {url.netloc}", "Content-Type: application/json"
        line.sendall("\r\n".join([*head, "Content-Length: 8", "", ""]).encode())
        for _ in range(8):
            time.sleep(0.1)
            line.sendall(b" ")
        assert b"422" in line.recv(1 << 16)  # no JSON, and read to its end


@pytest.mark.parametrize(("host", "status"), [("localhost", b" 200 "), ("elsewhere.example", b" 421 ")])
def test_a_websocket_is_a_request_like_any_other(page: str, host: str, status: bytes) -> None:
    url = urlsplit(page)
    with socket.create_connection((url.hostname, url.port), timeout=100) as line:
        key = f"Sec-WebSocket-Key: {22 * 'A'}=="
        asked = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key
        line.sendall("\r\n".join(["GET /robots.txt HTTP/1.1", f"Host: {host}", *asked, "", ""]).encode())
        assert status in line.recv(1 << 16).partition(b"\r\n")[0]


class Protocol(asyncio.Protocol):
    """What of uvicorn's protocol counts here."""

    cycle = None

    def __init__(self, host: str) -> None:
        self.client, self.loop = (host, 1), asyncio.get_running_loop()


@pytest.mark.parametrize(
    ("host", "other", "most"),
    [
        ("203.0.113.5", "203.0.113.6", 64),
        ("2001:db8::1", "2001:db8:0:1::1", 64),
        ("::ffff:203.0.113.5", "::ffff:203.0.113.6", 64),
        ("127.0.0.1", "::1", 1000),
        ("::ffff:127.0.0.1", "::1", 1000),
    ],
)
def test_one_visitor_has_so_many_connections_and_another_one_his_own(host: str, other: str, most: int) -> None:
    async def connect() -> list[Mock]:
        kind = connections.bounded(Protocol)
        made = [kind(one) for one in [host] * most + [other] + [host] * 2]
        transports = [Mock(spec=asyncio.Transport) for _ in made]
        for one, transport in zip(made[:-1], transports, strict=False):
            one.connection_made(transport)
        made[0].connection_lost(None)
        made[-2].connection_lost(None)
        made[-1].connection_made(transports[-1])
        return transports

    *fine, beyond, again = (transport.abort.called for transport in asyncio.run(connect()))
    assert not any(fine)
    assert beyond == (most == connections.MAX_OPEN)
    assert not again


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_visitor_is_refused_and_an_honest_one_is_served(kind: str, page: str, blocks: Page) -> None:
    with ThreadPoolExecutor() as pool:
        attack = pool.submit(lambda: list(HOSTILE[kind](page)))
        honest = served(page)
        answers = attack.result()
    assert honest.made, honest.text
    assert answers
    assert not [answer for answer in answers if not answer.refused]
    assert [answer for answer in answers if WORDS[kind] in f"{answer.status} {answer.text}"]
    assert not [answer for answer in answers if "Traceback" in answer.text or str(uploads.FOLDER) in answer.text]
    assert settled(blocks)
    assert served(page).made


# --- files


def test_of_a_picture_that_is_too_large_only_the_header_is_read(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Image.Image] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", read.append)
    with Visitor(page) as visitor:
        assert visitor.press(PICTURE, visitor.upload("large.png", swollen())).refused
    assert read == []


def test_of_a_long_sound_only_the_beginning_is_decoded(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float] = []
    decode = sound_files.decode

    def noted(content: bytes, **part: Any) -> Any:
        wave, rate = decode(content, **part)
        heard.append(len(wave) / rate)
        return wave, rate

    monkeypatch.setattr(sound_files, "decode", noted)
    with Visitor(page) as visitor:
        long = visitor.upload("long.flac", wav(90, 8000, "FLAC"))
        assert visitor.press(SOUND, long).refused
        assert visitor.press(CYCLE, long, rounds=1).made  # of which only the beginning is used
    assert heard == [reading.HEARD] * 2


def test_of_a_film_no_more_is_decoded_than_a_visitor_may_ask_for(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS", 64 * 48 * 10)
    with Visitor(page) as visitor:
        answer = visitor.press(FILM, visitor.upload("film.mp4", film([number / 10 for number in range(30)])))
        assert answer.refused
        assert "too large a film" in answer.text
        assert visitor.press(FILM, visitor.upload("film.mp4", film())).made


def test_a_film_lies_among_the_uploads_and_goes_with_them(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Visitor(page) as visitor:
        file, before = visitor.upload("film.mp4", film()), uploads.files()
        made = visitor.press(FILM, file, results=2)
        assert made.made, made.text
        fresh = uploads.files() - before
        assert len(fresh) == 2
        for path in fresh:
            assert f"{gate.API}/file={path}" in made.text
            assert visitor.client.get(f"{gate.API}/file={path}").content[4:8] == b"ftyp"
        monkeypatch.setattr(uploads, "MAX_AGE", -1)
        uploads.tidy()
        assert not uploads.files() & fresh


def test_of_a_film_it_is_said_what_of_it_cannot_be_used(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = '<p role="alert">This film has no sound that can be kept</p>'
    with Visitor(page) as visitor:
        file = visitor.upload("film.mp4", film())
        assert "alert" not in visitor.press(FILM, file).text
        assert said in visitor.press(FILM, file, mix=True).text
        asked = list[int]()

        def familiarities(_: CycleSound, sources: list[object]) -> list[float]:
            asked.append(len(sources))
            return [0.25] * len(sources)

        monkeypatch.setattr(CycleSound, "familiarities", familiarities)
        made = visitor.press(FILM, file, results=2)
        assert "This source is unlike the training data (familiarity 0.25)" in made.text
        assert len(asked) == 1  # the frames are those of the first result


def test_labels_say_what_counts(page: str) -> None:
    with Visitor(page) as visitor:
        shown = json.dumps(visitor.client.get("/config").json(), ensure_ascii=False)
    assert shown.count("s count") == 2  # of a sound that steers, the beginning
    assert "one of a cycle" in shown


@pytest.mark.parametrize("path", [r"C:\Users\ann\film.mp4", "D:/films/film.mp4", "/tmp/film.mp4"])
def test_a_film_may_be_fetched_on_any_system(path: str) -> None:
    assert gate.READ.fullmatch(f"{gate.API}/file={path}")


@pytest.mark.parametrize("path", ["film.mp4", "C:film.mp4", "http://a.b/film.mp4", "CD:/film.mp4"])
def test_a_film_is_fetched_by_its_whole_path_alone(path: str) -> None:
    assert not gate.READ.fullmatch(f"{gate.API}/file={path}")


def test_uploads_are_a_folder_of_the_process_and_no_component_makes_files_of_its_own(page: str) -> None:
    assert os.environ["GRADIO_TEMP_DIR"] == str(uploads.FOLDER)
    with Visitor(page) as visitor:
        file = visitor.upload("bell.png", png((70, 50)))
        before = uploads.files()
        assert Path(file["path"]) in before
        assert visitor.press(PICTURE, file).made
        assert visitor.press(CYCLE, file, rounds=1).made
    assert uploads.files() == before


def test_uploads_that_go_meanwhile_disturb_nobody(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two visitors' uploads may delete old files at one time."""
    with Visitor(page) as visitor:
        old = [Path(visitor.upload(f"{number}.png", png())["path"]) for number in range(3)]
    for path in old:
        os.utime(path, (0, 0))
    is_file = Path.is_file

    def slow(path: Path) -> bool:
        found = is_file(path)
        if path in old:
            monkeypatch.setattr(Path, "is_file", is_file)
            uploads.tidy()
        return found

    monkeypatch.setattr(Path, "is_file", slow)
    uploads.tidy()
    assert not set(old) & uploads.files()


KILLED = """
import os
from cycle_sound.app.web import uploads
uploads.prepare()
(uploads.FOLDER / "film.mp4").write_bytes(b"private")
print(uploads.FOLDER, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_what_visitors_sent_to_a_page_that_was_killed_goes_when_another_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True)
    killed = Path(done.stdout.strip())
    assert (killed / "film.mp4").exists()
    held, other, link = (tmp_path / f"cycle-sound-{letter * 16}" for letter in "abc")
    unlike = tmp_path / "cycle-sound-notes"
    for place in (held, unlike):
        place.mkdir()
        (place / "film.mp4").write_bytes(b"of somebody else")
    other.mkdir()  # of a process that is starting
    link.symlink_to(unlike)
    handle = uploads._locked(held)
    assert handle is not None
    own = tmp_path / f"cycle-sound-{'d' * 16}"
    monkeypatch.setattr(uploads, "FOLDER", own)
    uploads.prepare.__wrapped__()
    assert {path for path in tmp_path.iterdir() if path != own} == {held, other, link, unlike}
    assert own.stat().st_mode & 0o777 == 0o700
    assert (held / "film.mp4").exists()
    assert (unlike / "film.mp4").exists()
    os.close(handle)
    monkeypatch.setattr(os, "getuid", lambda: -1)
    uploads.prepare.__wrapped__()
    assert held.exists()  # of another user


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of uploads with ten files of 100 bytes, one a minute."""
    monkeypatch.setattr(uploads, "FOLDER", tmp_path)
    for number in range(10):
        path = tmp_path / f"{number}/file"
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
        os.utime(path, (time.time() - 60 * number - 30,) * 2)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "value", "left"), [("MAX_AGE", 300, 5), ("MAX_FILES", 4, 4), ("MAX_BYTES", 350, 3), ("MAX_AGE", 9999, 10)]
)
def test_the_oldest_uploads_go_first(
    limit: str, value: int, left: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, limit, value)
    uploads.tidy()
    assert {path.name for path in folder.iterdir()} == {str(number) for number in range(left)}


def test_an_example_is_never_too_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_AGE", 0)
    uploads.tidy({folder / "7/file"})
    assert uploads.files() == {folder / "7/file"}


# --- work


def test_of_what_nobody_waits_for_nothing_is_made(
    page: str, blocks: Page, system: CycleSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    gone = threading.Event()
    images = system.images

    def noted(sounds: Any, **how: Any) -> Any:
        made.append(how["seed"])
        if how["seed"] == 7:  # the visitor leaves while it is made
            gone.wait(300)
        return images(sounds, **how)

    monkeypatch.setattr(system, "images", noted)
    with Visitor(page) as visitor:
        file = visitor.upload("a.wav", wav())
        assert visitor.join(visitor.call(SOUND, file)).is_success
    assert settled(blocks)
    assert made == []
    with Visitor(page) as visitor:
        assert visitor.join(visitor.call(SOUND, file, seed=7, results=4)).is_success
        with visitor.listening():
            while not made:
                time.sleep(0.01)
    while blocks.listening:
        time.sleep(0.01)
    gone.set()
    assert settled(blocks)
    assert made == [7]


LONG: dict[str, tuple[int, bytes, dict[str, int]]] = {  # requests of several batches: button, file, controls
    "a long sound": (SOUND, wav(8), {"candidates": 4}),
    "pictures of a sound": (SOUND, wav(), {"results": 4}),
    "sounds of a picture": (PICTURE, png(), {"results": 4}),
    "a long sound of a picture": (PICTURE, png(), {"seconds": 6}),
    "a long sound of a drawing": (DRAWING, png(), {"seconds": 6}),
    "a film": (FILM, film((0, 1, 2, 3)), {"candidates": 4}),
    "soundtracks": (FILM, film(), {"results": 4}),
    "a cycle": (CYCLE, wav(), {"rounds": 2}),
}


@pytest.mark.parametrize("kind", LONG)
def test_once_a_visitor_has_left_no_other_batch_is_drawn(
    kind: str, page: str, blocks: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed, content, controls = LONG[kind]
    batches: list[str] = []
    gone, sample = threading.Event(), engine.sample

    def noted(*drawn: Any) -> Any:
        batches.append(kind)
        gone.wait(300)
        return sample(*drawn)

    def value(visitor: Visitor) -> Any:
        file = visitor.upload("given", content)
        return {"composite": file} if pressed == DRAWING else file

    monkeypatch.setattr(engine, "sample", noted)
    with Visitor(page) as visitor:
        assert visitor.join(visitor.call(pressed, value(visitor), **controls)).is_success
        with visitor.listening():
            while not batches:
                time.sleep(0.01)
    while blocks.listening:
        time.sleep(0.01)
    gone.set()
    assert settled(blocks)
    assert len(batches) == 1
    with Visitor(page) as visitor:  # and for one who stays
        assert visitor.press(pressed, value(visitor), **controls).made
    assert len(batches) > 2


def test_windows_in_parts_are_the_same_as_at_once(
    page: str, system: CycleSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Visitor(page) as visitor:
        file = visitor.upload("a.wav", wav(8))
        monkeypatch.setattr(making, "size_for", lambda _: 100)
        whole = visitor.press(SOUND, file)
        monkeypatch.setattr(making, "size_for", lambda _: 2)
        assert visitor.press(SOUND, file).text == whole.text
        assert whole.made


def test_one_visitor_waits_for_few_results_at_once(page: str, blocks: Page, system: CycleSound) -> None:
    with Visitor(page) as visitor:
        call = visitor.call(SOUND, visitor.upload("a.wav", wav()))
        answers = [visitor.join(call).status_code for _ in range(gate.MAX_WAITING + 2)]
    assert answers.count(429) >= 1
    assert settled(blocks)


@pytest.mark.parametrize(
    "own",
    [
        {"guidance": 8.0},
        {"top_k": 300},
        {"temperature": 2.5},
        {"top_p": 0.03},
        {"guidance": 30.0, "top_k": 1000, "temperature": 1e3, "top_p": 1e-3},
    ],
    ids=str,
)
def test_models_may_sample_beyond_the_usual_sliders(own: dict[str, Any], system: CycleSound) -> None:
    config = system.sampling.audio_to_image.model_copy(update=own)
    both = SamplingConfigs(audio_to_image=config, image_to_audio=config)
    with Page():
        sliders = controls.sampling(both)
        values = button._within(sliders, [slider.value for slider in sliders])
    assert controls.request(values).sampling == both


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"temperature": 1e-9}, "temperature: must be 0"),
        ({"top p": 1.01}, "Top p: must be from"),
        ({"seconds": 1e-9}, "cannot be 1e-09 s long"),
    ],
    ids=str,
)
def test_what_is_typed_beside_a_slider_is_refused_in_a_line(page: str, typed: dict[str, float], words: str) -> None:
    with Visitor(page) as visitor:
        answer = visitor.press(PICTURE, visitor.upload("bell.png", png()), **typed)
        assert answer.refused
        assert words in answer.text


def test_the_shortest_sound_is_shown(page: str) -> None:
    with Visitor(page) as visitor:
        assert visitor.press(PICTURE, visitor.upload("bell.png", png()), seconds=0.001).made


# --- who may come


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_a_page_for_other_machines_wants_a_password(host: str) -> None:
    with pytest.raises(BadLogin, match="--auth NAME:PASSWORD"):
        server.login(host, None)
    assert server.login(host, "ann:se:cret") == ("ann", "se:cret")


def test_the_command_says_so_before_it_loads_models(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CycleSound, "load", None)
    said = CliRunner().invoke(app, ["web", "--host", "0.0.0.0", "--models", str(data)])
    assert (said.exit_code, said.output.count("\n")) == (1, 1)
    assert "give --auth NAME:PASSWORD" in said.output


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.53"])
def test_a_page_for_this_machine_does_not(host: str) -> None:
    assert server.login(host, None) is None


@pytest.mark.parametrize("auth", ["", "ann", "ann:", ":secret"])
def test_half_a_login_is_none(auth: str) -> None:
    with pytest.raises(BadLogin, match="NAME:PASSWORD"):
        server.login("127.0.0.1", auth)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("sound.example", "https://sound.example", 200),  # a proxy that passes on the name that it was asked by
        ("Sound.example:8443", "https://sound.example:8443", 200),
        ("127.0.0.1:7860", "https://sound.example", 200),  # and one that does not
        ("127.0.0.1:7860", "http://Other.example", 200),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", 200),
        ("127.0.0.1:7860", "https://evil.example", 403),
        ("127.0.0.1:7860", "https://sound.example.evil.example", 403),
        ("127.0.0.1:7860", "https://sound.example:8443", 403),
        ("127.0.0.1:7860", "null", 403),
        ("sound.example", "https://evil.example", 403),
        ("evil.example", "https://evil.example", 421),
    ],
)
def test_a_proxy_may_be_known_by_names_that_are_given(host: str, origin: str, status: int) -> None:
    door = gate.Gate(PlainTextResponse("in"), "127.0.0.1", ["sound.example", "OTHER.example"], Counter(), [])
    assert TestClient(door).post("/login", headers={"Host": host, "Origin": origin}).status_code == status


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "full", "/srv/a"), 507, os.strerror(errno.ENOSPC)),
        (PermissionError(errno.EACCES, "closed", "/srv/a"), 503, os.strerror(errno.EACCES)),
        (OSError(errno.ENAMETOOLONG, "long", "/srv/a"), 400, "not what the page asks: OSError"),
        (OSError("\x1b[2Jodd\nrange"), 400, "not what the page asks: OSError"),
        (KeyError("x" * 5000), 400, "not what the page asks: KeyError"),
    ],
)
def test_what_fails_inside_is_a_line_for_the_server_and_its_own_faults_are_not_the_visitors(
    error: Exception, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise error

    answer = TestClient(gate.Gate(failing, "localhost", [], Counter(), [])).get("/", headers={"Host": "localhost"})
    assert (answer.status_code, answer.json()["detail"].removeprefix("the server: ")) == (status, told)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: GET /: {type(error).__name__}: ")
    assert line.isprintable()
    assert len(line) < 400


def test_a_page_behind_a_proxy_wants_a_password() -> None:
    with pytest.raises(BadLogin, match=r"sound\.example: .* --auth NAME:PASSWORD"):
        server.login("127.0.0.1", None, ["sound.example"])
    assert server.login("127.0.0.1", "ann:secret", ["sound.example"]) == ("ann", "secret")


@pytest.mark.parametrize("name", ["https://sound.example", "sound.example:443", "sound.example/page", "", "*"])
def test_what_is_no_name_of_a_host_is_refused(name: str, data: Path) -> None:
    said = CliRunner().invoke(app, ["web", "--name", name, "--auth", "ann:secret", "--models", str(data)])
    assert said.exit_code == 2
    assert "must be a host name" in said.output


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_page_may_be_served_at_an_ipv6_address(host: str, system: CycleSound) -> None:
    blocks = pages.page(system)
    try:
        address = server.start(blocks, host, None)
        assert address.startswith("http://[::1]:")
        with Visitor(address.rstrip("/"), "::1") as visitor:
            assert visitor.client.get("/config").is_success
    finally:
        blocks.close()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "--port {port}: .*address already in use"),
        (OTHER, "--port {port}: .*address already in use"),
        ("192.0.2.1", "--host 192.0.2.1: "),  # of no machine
        ("nowhere.invalid", "--host nowhere.invalid: "),
        ("a..b", "--host a..b: "),
    ],
)
def test_where_no_page_can_be_served_is_said_before_an_address(
    host: str, said: str, blocks: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadAddress, match=said.format(port=port)) as refusal:
            server.serve(blocks, host, port, auth="ann:secret")
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),  # for which httpx wants another package
    ],
)
def test_a_proxy_of_the_environment_is_not_asked_for_the_page(
    name: str, proxy: str, system: CycleSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    def proxies() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}

    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    monkeypatch.delenv("no_proxy", raising=False)
    before = proxies()
    blocks = pages.page(system)
    try:
        with Visitor(server.start(blocks, "127.0.0.1", None).rstrip("/")) as visitor:
            assert visitor.client.get("/config").is_success
    finally:
        blocks.close()
    assert proxies() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals as those of POSIX")
@pytest.mark.parametrize(("number", "line"), [(signal.SIGINT, ["interrupted"]), (signal.SIGTERM, [])])
def test_a_page_that_is_interrupted_closes_and_leaves_nothing(
    number: signal.Signals, line: list[str], data: Path, tmp_path: Path
) -> None:
    for name in ("here", "uploads"):
        (tmp_path / name).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = ["-m", "cycle_sound", "web", "--port", port, "--models", str(data)]
    process = started(tmp_path / "here", *words, strike=NEVER, TMPDIR=str(tmp_path / "uploads"))
    assert process.stdout
    address = next(line.rstrip() for line in process.stdout if line.startswith("http://"))
    with Visitor(address) as visitor, visitor.listening():
        process.send_signal(number)
        assert said(process) == line
    assert process.returncode == 128 + number
    assert not list((tmp_path / "uploads").iterdir())


def test_without_the_password_nothing_is_sent_or_made(system: CycleSound) -> None:
    blocks = pages.page(system)
    try:
        page = server.start(blocks, "127.0.0.1", None, auth="ann:secret").rstrip("/")
        with Visitor(page) as visitor:
            assert visitor.client.get("/config").status_code == 401
            assert visitor.client.post("/gradio_api/upload", files={"files": ("a.png", png())}).status_code == 401
            call = {"fn_index": 0, "session_hash": visitor.session, "data": []}
            assert visitor.join(call).status_code in (401, 422)
            for password, status in (("wrong", 400), ("secret", 200)):
                form = {"username": (None, "ann"), "password": (None, password)}
                assert visitor.client.post("/login", files=form).status_code == status
            assert visitor.press(PICTURE, visitor.upload("a.png", png())).made
    finally:
        blocks.close()
