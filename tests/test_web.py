"""The page in a real browser: Chromium, without a head."""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cycle-sound[web]'")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from cycle_sound.app import web  # noqa: E402
from cycle_sound.inference.system import CycleSound  # noqa: E402
from cycle_sound.params import SamplingConfig  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not tested")
FLAGS = [
    "--no-sandbox",  # it runs as root in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",  # and leave to use it
]
REMOVE = re.compile("^(Clear|Remove)")  # the button beside what was given
SECONDS = 120.0
RATE = 16000


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


@pytest.fixture(scope="module")
def address(system: CycleSound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    samples = tmp_path_factory.mktemp("samples")
    write_sound(samples / "audio_to_image/bell/source.wav")
    blocks = web.page(system, samples)
    yield web.serve(blocks, "127.0.0.1", None, block=False)
    blocks.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    """The page, freshly loaded; at the end it must have asked nobody else for anything."""
    context = browser.new_context(permissions=["microphone"], viewport={"width": 1280, "height": 1200})
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    context.close()


def write_sound(path: Path, seconds: float = 1.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(np.arange(round(seconds * RATE)) / 8), RATE)
    return path


def write_picture(path: Path) -> Path:
    Image.new("RGB", (80, 60), "teal").save(path)
    return path


def opened(page: playwright.Page, name: str) -> playwright.Locator:
    """The panel behind a tab."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def given(panel: playwright.Locator, path: Path) -> None:
    """Drop a file, and wait until it has been sent."""
    with panel.page.expect_response(lambda response: "upload" in response.url and response.ok):
        panel.locator("input[type=file]").first.set_input_files(path)
    panel.get_by_label(REMOVE).first.wait_for()


def test_a_sound_becomes_a_picture(page: playwright.Page, system: CycleSound, tmp_path: Path) -> None:
    panel = opened(page, "Sound → picture")
    given(panel, write_sound(tmp_path / "bell.wav"))
    panel.get_by_role("button", name="Make pictures").click()
    shown = panel.locator(".stations img")
    shown.first.wait_for()
    assert shown.count() == 1
    assert shown.first.evaluate("image => image.naturalWidth") % system.size == 0


def test_a_picture_becomes_a_sound_that_plays(page: playwright.Page, system: CycleSound, tmp_path: Path) -> None:
    panel = opened(page, "Picture → sound")
    given(panel, write_picture(tmp_path / "bell.png"))
    panel.get_by_role("button", name="Make sounds").click()
    player = panel.locator(".stations audio")
    player.first.wait_for()
    page.wait_for_function("() => document.querySelector('.stations audio').readyState > 0")
    assert player.first.evaluate("player => player.duration") == pytest.approx(system.seconds, abs=0.05)
    player.first.evaluate("player => { player.muted = true; return player.play() }")
    page.wait_for_function("() => document.querySelector('.stations audio').currentTime > 0.2")


def test_a_recording_becomes_a_picture(page: playwright.Page) -> None:
    panel = opened(page, "Sound → picture")
    panel.get_by_label("Record audio").click()
    panel.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    panel.get_by_role("button", name="Stop", exact=True).click()
    panel.get_by_label(REMOVE).first.wait_for()
    panel.get_by_role("button", name="Make pictures").click()
    panel.locator(".stations img").first.wait_for()  # of each moment of it one: a slow machine records longer


def test_a_drawing_becomes_a_sound(page: playwright.Page) -> None:
    panel = opened(page, "Drawing → sound")
    panel.get_by_label("Brush", exact=True).click()
    box = panel.locator("canvas").first.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 60, steps=8)
    page.mouse.up()
    panel.get_by_role("button", name="Make sounds").click()
    panel.locator(".stations audio").wait_for()


def test_the_cycle_shows_every_station(page: playwright.Page, tmp_path: Path) -> None:
    panel = opened(page, "Cycle")
    given(panel, write_picture(tmp_path / "bell.png"))
    panel.get_by_role("button", name="Go round").click()
    panel.locator(".stations figure").nth(4).wait_for()  # the start, and two rounds there and back
    assert panel.locator(".stations figure").count() == 5
    assert panel.locator(".stations audio").count() == 2


def test_sliders_start_as_their_direction_draws_and_steer_it_alone(
    page: playwright.Page, system: CycleSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[SamplingConfig] = []

    def noted(make: Callable[..., Any], *things: Any, **how: Any) -> Any:
        drawn.append(how["sampling"])
        return make(*things, **how)

    monkeypatch.setattr(system, "images", partial(noted, system.images))
    monkeypatch.setattr(system, "sounds", partial(noted, system.sounds))
    page.get_by_role("button", name="sidebar").click()
    page.get_by_role("button", name="Picture → sound").click()
    guidance = page.get_by_label("number input for Guidance").filter(visible=True)
    assert float(guidance.input_value()) == system.sampling.image_to_audio.guidance
    guidance.fill("1.5")
    guidance.press("Tab")
    moved = page.get_by_label("range slider for Guidance").filter(visible=True)
    playwright.expect(moved).to_have_value("1.5")  # the page has heard of it
    panel = opened(page, "Cycle")
    given(panel, write_sound(tmp_path / "bell.wav"))
    panel.get_by_role("button", name="Go round").click()
    panel.locator(".stations figure").nth(4).wait_for()
    back = system.sampling.image_to_audio.model_copy(update={"guidance": 1.5})
    assert drawn == [system.sampling.audio_to_image, back] * 2


def test_an_example_is_a_click_away(page: playwright.Page) -> None:
    panel = opened(page, "Sound → picture")
    panel.get_by_role("button", name="bell").first.click()
    panel.get_by_label(REMOVE).first.wait_for()


@pytest.mark.parametrize(
    ("tab", "button", "name", "content", "words"),
    [
        ("Sound → picture", "Make pictures", "paper.mp3", b"%PDF-1.7 nothing to hear", "paper.mp3: cannot be decoded"),
        ("Picture → sound", "Make sounds", "paper.png", b"%PDF-1.7 nothing to see", "paper.png: not an image"),
        ("Cycle", "Go round", "empty.wav", b"", "empty"),
        ("Sound → picture", "Make pictures", "", b"", "drop or record a sound first"),
        ("Picture → sound", "Make sounds", "", b"", "drop, photograph or draw a picture first"),
        ("Cycle", "Go round", "", b"", "drop a sound or a picture first"),
    ],
)
def test_what_cannot_be_used_is_a_friendly_message(
    page: playwright.Page, tmp_path: Path, tab: str, button: str, name: str, content: bytes, words: str
) -> None:
    panel = opened(page, tab)
    if name:
        (tmp_path / name).write_bytes(content)
        given(panel, tmp_path / name)
    panel.get_by_role("button", name=button).click()
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    assert words in message.inner_text()
    assert "Traceback" not in page.content()
    assert "/tmp" not in message.inner_text()


def test_a_long_sound_is_refused(page: playwright.Page, tmp_path: Path) -> None:
    panel = opened(page, "Sound → picture")
    given(panel, write_sound(tmp_path / "long.wav", seconds=web.MAX_SECONDS + 1))
    panel.get_by_role("button", name="Make pictures").click()
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    assert "no more than 60 s" in message.inner_text()
