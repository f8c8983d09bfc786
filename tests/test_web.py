"""The page in a real browser: Chromium, without a head."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from films import evenly, telling_film
from PIL import Image

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cycle-sound[web]'")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from cycle_sound.app.web import examples, reading, server  # noqa: E402
from cycle_sound.app.web import page as pages  # noqa: E402
from cycle_sound.evaluation import samples as evaluated  # noqa: E402
from cycle_sound.inference.system import CycleSound  # noqa: E402
from cycle_sound.params import DIRECTIONS, SamplingConfig  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not tested")
FLAGS = [
    "--no-sandbox",  # it runs as root in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",  # and leave to use it
]
TABS = ("Sound → picture", "Picture → sound", "Drawing → sound", "Film → soundtrack", "Cycle")
BUTTONS = re.compile("^(Make|Go round)")
REMOVE = re.compile("^(Clear|Remove)")  # the button beside what was given
SECONDS = 120.0
RATE = 16000


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


@pytest.fixture(scope="module")
def address(system: CycleSound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    samples = tmp_path_factory.mktemp("samples")
    write_sound(samples / "audio_to_image/test_1/source.wav")
    write_picture(samples / "audio_to_image/test_1/real.png")
    write_picture(samples / "image_to_audio/test_1/source.png")
    write_sound(samples / "image_to_audio/test_1/real.wav")
    write_labels(samples, test_1="bell", test_2="bird")
    blocks = pages.page(system, samples)
    yield server.start(blocks, "127.0.0.1", None)
    blocks.close()


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chromium as users have it who are not root.

    With root's rights its audio threads run in real time, before all else: where they spin, all else waits.
    """
    path = tmp_path_factory.mktemp("browser") / "chromium"
    without_rights = os.geteuid() == 0 and shutil.which("setpriv") is not None
    path.write_text(f'#!/bin/sh\nexec {"setpriv --bounding-set=-sys_nice" if without_rights else ""} {CHROMIUM} "$@"\n')
    path.chmod(0o700)
    return path


@pytest.fixture(scope="module")
def browser(executable: Path) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=FLAGS)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 60), "teal").save(path)
    return path


def write_labels(folder: Path, **labels: str) -> None:
    """Write what the evaluate stage says of samples, whose pictures are of no account here."""
    shows = dict.fromkeys(evaluated.SHOWS, torch.zeros(len(labels), 3, 8, 8))
    for direction in DIRECTIONS:
        some = evaluated.Samples(
            direction,
            **shows,
            pointwise_mutual_information=torch.zeros(len(labels)),
            ids=[*labels],
            labels=[*labels.values()],
        )
        evaluated.save(folder / direction / evaluated.NAME, some)


def opened(page: playwright.Page, name: str) -> playwright.Locator:
    """The panel behind a tab."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def given(panel: playwright.Locator, path: Path) -> None:
    """Drop a file, and wait until it has been sent."""
    with panel.page.expect_response(lambda response: "upload" in response.url and response.ok):
        panel.locator("input[type=file]").first.set_input_files(path)
    panel.get_by_label(REMOVE).first.wait_for()


def made(panel: playwright.Locator) -> playwright.Locator:
    """What the models made: not the real target, which an example has beside it."""
    return panel.locator(".stations figure").filter(has_not_text="real")


def test_a_sound_becomes_a_picture(page: playwright.Page, system: CycleSound, tmp_path: Path) -> None:
    panel = opened(page, "Sound → picture")
    given(panel, write_sound(tmp_path / "bell.wav"))
    panel.get_by_role("button", name="Make pictures").click()
    shown = made(panel).locator("img")
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


def test_a_picture_sounds_as_long_as_it_should(page: playwright.Page, tmp_path: Path) -> None:
    panel = opened(page, "Picture → sound")
    given(panel, write_picture(tmp_path / "bell.png"))
    length = panel.get_by_label("number input for Seconds")
    length.fill("4")
    length.press("Tab")
    playwright.expect(panel.get_by_label("range slider for Seconds")).to_have_value("4")  # the page has heard of it
    panel.get_by_role("button", name="Make sounds").click()
    player = made(panel).locator("audio")
    player.wait_for()
    page.wait_for_function("() => document.querySelector('.stations audio').readyState > 0")
    assert player.evaluate("player => player.duration") == pytest.approx(4, abs=0.01)


def test_a_film_gets_a_soundtrack_that_plays(page: playwright.Page, tmp_path: Path) -> None:
    panel = opened(page, "Film → soundtrack")
    given(panel, telling_film(tmp_path / "street.mp4", evenly(0, 3, 25), (0, 3)))
    panel.get_by_label("Mix").check()
    panel.get_by_role("button", name="Make soundtracks").click()
    player = panel.locator(".stations video")
    player.wait_for()
    page.wait_for_function("() => document.querySelector('.stations video').readyState > 0")
    assert player.evaluate("player => player.duration") == pytest.approx(3, abs=0.1)
    player.evaluate("player => { player.muted = true; return player.play() }")
    page.wait_for_function("() => document.querySelector('.stations video').currentTime > 0.2")
    assert panel.get_by_role("link", name="street.mp4").get_attribute("download") == "street.mp4"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = player.bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= width


@pytest.mark.parametrize("tab", TABS)
def test_nothing_offers_to_be_shared_with_another_site(page: playwright.Page, tmp_path: Path, tab: str) -> None:
    panel = opened(page, tab)
    if tab == "Film → soundtrack":
        given(panel, telling_film(tmp_path / "street.mp4", evenly(0, 1, 25), (0, 1)))
    elif tab.startswith("Sound"):
        given(panel, write_sound(tmp_path / "bell.wav"))
    elif not tab.startswith("Drawing"):
        given(panel, write_picture(tmp_path / "bell.png"))
    assert panel.get_by_role("button", name=re.compile("^Share", re.I)).count() == 0
    assert panel.get_by_title(re.compile("^Share", re.I)).count() == 0


def test_a_recording_becomes_a_picture(page: playwright.Page) -> None:
    panel = opened(page, "Sound → picture")
    panel.get_by_label("Record audio").click()
    panel.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    panel.get_by_role("button", name="Stop", exact=True).click()
    panel.get_by_label("Download").wait_for()  # that is offered once the recording has been sent; removing it, before
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
    assert made(panel).count() == 5
    assert made(panel).locator("audio").count() == 2


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


@pytest.mark.parametrize(
    ("tab", "example", "button", "real"),
    [
        ("Sound → picture", "bell", "Make pictures", "img"),
        ("Picture → sound", "bell", "Make sounds", "audio"),
        ("Cycle", "bell, a sound", "Go round", "img"),
    ],
)
def test_an_example_is_a_click_away_and_shows_its_real_target(
    page: playwright.Page, tab: str, example: str, button: str, real: str
) -> None:
    panel = opened(page, tab)
    panel.get_by_role("button", name=example, exact=True).click()
    panel.get_by_label(REMOVE).first.wait_for()
    panel.get_by_role("button", name=button).click()
    last = panel.locator(".stations figure").last
    last.wait_for()
    assert last.locator("figcaption").inner_text() == "real"
    assert last.locator(real).count() == 1
    assert "nats" in last.inner_text()


def test_an_example_without_a_label_goes_by_its_name(tmp_path: Path) -> None:
    for clip in ("b", "a"):
        write_picture(tmp_path / f"image_to_audio/{clip}/source.png")
    write_labels(tmp_path, a="", b="horn")
    found = examples.found(tmp_path, "image_to_audio")
    assert [(one.name, one.source.parent.name, one.real) for one in found] == [("a", "a", None), ("horn", "b", None)]
    assert examples.found(tmp_path, "audio_to_image") == []
    (tmp_path / "image_to_audio" / evaluated.NAME).unlink()
    assert [one.name for one in examples.found(tmp_path, "image_to_audio")] == ["a", "b"]


def test_the_page_says_what_its_models_know_and_what_its_figures_mean(page: playwright.Page) -> None:
    page.get_by_text("know 2 kinds: bell, bird. ").wait_for()
    for tab in TABS:
        words = "Films of up to 60 s and 32 MB" if tab.startswith("Film") else "Score: log-likelihood ratio"
        legend = opened(page, tab).get_by_text(words)
        playwright.expect(legend).to_be_visible()


def test_another_source_steers_and_at_guidance_1_is_refused(
    page: playwright.Page, system: CycleSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []

    def noted(make: Callable[..., Any], *things: Any, **how: Any) -> Any:
        drawn.append(how)
        return make(*things, **how)

    monkeypatch.setattr(system, "sounds", partial(noted, system.sounds))
    panel = opened(page, "Picture → sound")
    given(panel, write_picture(tmp_path / "bell.png"))
    panel.get_by_role("button", name="Less of one thing").click()
    for name in ("Unlike", "Blend"):
        other = panel.locator(".block").filter(has_text=f"{name}:").last
        with page.expect_response(lambda response: "upload" in response.url and response.ok):
            other.locator("input[type=file]").set_input_files(write_picture(tmp_path / f"{name}.png"))
        other.get_by_label(REMOVE).first.wait_for()
    panel.get_by_role("button", name="Make sounds").click()
    panel.locator(".stations audio").first.wait_for()
    (how,) = drawn
    assert how["unlike"].size == how["blend"][0].size == (80, 60)
    assert how["blend"][1] == 0.5
    page.get_by_role("button", name="sidebar").click()
    page.get_by_role("button", name="Picture → sound").click()
    guidance = page.get_by_label("number input for Guidance").filter(visible=True)
    guidance.fill("1")
    guidance.press("Tab")
    playwright.expect(page.get_by_label("range slider for Guidance").filter(visible=True)).to_have_value("1")
    panel.get_by_role("button", name="Make sounds").click()
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    assert "a guidance of 1 steers away from nothing" in message.inner_text()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(page: playwright.Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()  # tabs for which there is no room move into a menu, while the page is laid out
    for tab in TABS:
        if width == 390 and tab != TABS[0]:
            page.get_by_label("More tabs").click()
            page.locator(".overflow-dropdown").get_by_role("button", name=tab).click()
            panel = page.get_by_role("tabpanel").filter(visible=True)
        else:
            panel = opened(page, tab)
        playwright.expect(panel.get_by_role("button", name=BUTTONS)).to_be_visible()
        if tab != "Cycle":
            panel.get_by_role("button", name="Less of one thing").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("tab", "button", "name", "content", "words"),
    [
        ("Sound → picture", "Make pictures", "paper.mp3", b"%PDF-1.7 nothing to hear", "paper.mp3: cannot be decoded"),
        ("Picture → sound", "Make sounds", "paper.png", b"%PDF-1.7 nothing to see", "paper.png: not an image"),
        ("Film → soundtrack", "Make soundtracks", "paper.mp4", b"%PDF-1.7 dull", "paper.mp4: cannot be read as a film"),
        ("Cycle", "Go round", "empty.wav", b"", "empty"),
        ("Sound → picture", "Make pictures", "", b"", "upload or record a sound first"),
        ("Picture → sound", "Make sounds", "", b"", "upload, photograph or draw a picture first"),
        ("Film → soundtrack", "Make soundtracks", "", b"", "upload a film first"),
        ("Cycle", "Go round", "", b"", "upload a sound or a picture first"),
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
    given(panel, write_sound(tmp_path / "long.wav", seconds=reading.MAX_SECONDS + 1))
    panel.get_by_role("button", name="Make pictures").click()
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    assert "no more than 60 s" in message.inner_text()
