"""The page among hostile visitors: each is refused with a reason, and an honest one is served meanwhile."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile
from typer.testing import CliRunner

pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cycle-sound[web]'")

from visitors import CYCLE, FILM, HOSTILE, PICTURE, SOUND, Answer, Visitor, film, png, swollen, wav

from cycle_sound.app import gate, uploads, web
from cycle_sound.app.cli import app
from cycle_sound.errors import BadLogin
from cycle_sound.inference.system import CycleSound
from cycle_sound.media import sound_files

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
}


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


@pytest.fixture(scope="module")
def blocks(system: CycleSound) -> Iterator[web.Page]:
    blocks = web.page(system)
    yield blocks
    blocks.close()


@pytest.fixture(scope="module")
def page(blocks: web.Page) -> str:
    return web.serve(blocks, "127.0.0.1", None, block=False).rstrip("/")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE", 5.0)  # seconds, in which a visitor on a loaded machine listens


def served(page: str) -> Answer:
    """What an honest visitor gets."""
    with Visitor(page, OTHER) as visitor:
        return visitor.press(PICTURE, visitor.upload("bell.png", png()))


def settled(blocks: web.Page) -> bool:
    """Whether, before long, nothing is waited for or worked on."""
    for _ in range(6000):
        if not blocks._queue.event_ids_to_events and not blocks.listening:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_visitor_is_refused_and_an_honest_one_is_served(kind: str, page: str, blocks: web.Page) -> None:
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
        for button in (SOUND, CYCLE):
            assert visitor.press(button, visitor.upload("long.flac", wav(90, 8000, "FLAC"))).refused
    assert heard == [web.HEARD] * 2


def test_of_a_film_no_more_is_decoded_than_a_visitor_may_ask_for(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_PIXELS", 64 * 48 * 10)
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


def test_uploads_are_a_folder_of_the_process_and_no_component_makes_files_of_its_own(page: str) -> None:
    assert os.environ["GRADIO_TEMP_DIR"] == str(uploads.FOLDER)
    with Visitor(page) as visitor:
        file = visitor.upload("bell.png", png((70, 50)))
        before = uploads.files()
        assert Path(file["path"]) in before
        assert visitor.press(PICTURE, file).made
        assert visitor.press(CYCLE, file, rounds=1).made
    assert uploads.files() == before


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
    page: str, blocks: web.Page, system: CycleSound, monkeypatch: pytest.MonkeyPatch
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


def test_windows_in_parts_are_the_same_as_at_once(
    page: str, system: CycleSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Visitor(page) as visitor:
        file = visitor.upload("a.wav", wav(8))
        monkeypatch.setattr(web, "size_for", lambda _: 100)
        whole = visitor.press(SOUND, file)
        monkeypatch.setattr(web, "size_for", lambda _: 2)
        assert visitor.press(SOUND, file).text == whole.text
        assert whole.made


def test_one_visitor_waits_for_few_results_at_once(page: str, blocks: web.Page, system: CycleSound) -> None:
    with Visitor(page) as visitor:
        call = visitor.call(SOUND, visitor.upload("a.wav", wav()))
        answers = [visitor.join(call).status_code for _ in range(gate.MAX_WAITING + 2)]
    assert answers.count(429) >= 1
    assert settled(blocks)


# --- who may come


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_a_page_for_other_machines_wants_a_password(host: str) -> None:
    with pytest.raises(BadLogin, match="--auth NAME:PASSWORD"):
        web.login(host, None)
    assert web.login(host, "ann:se:cret") == ("ann", "se:cret")


def test_the_command_says_so_before_it_loads_models(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CycleSound, "load", None)
    said = CliRunner().invoke(app, ["web", "--host", "0.0.0.0", "--models", str(data)])
    assert (said.exit_code, said.output.count("\n")) == (1, 1)
    assert "give --auth NAME:PASSWORD" in said.output


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.53"])
def test_a_page_for_this_machine_does_not(host: str) -> None:
    assert web.login(host, None) is None


@pytest.mark.parametrize("auth", ["", "ann", "ann:", ":secret"])
def test_half_a_login_is_none(auth: str) -> None:
    with pytest.raises(BadLogin, match="NAME:PASSWORD"):
        web.login("127.0.0.1", auth)


def test_without_the_password_nothing_is_sent_or_made(system: CycleSound) -> None:
    blocks = web.page(system)
    try:
        page = web.serve(blocks, "127.0.0.1", None, block=False, auth="ann:secret").rstrip("/")
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
