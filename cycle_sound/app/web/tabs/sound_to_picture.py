"""A sound becomes a picture, a long one a picture of each window."""

from functools import partial
from pathlib import Path

import gradio as gr

from cycle_sound.app import inputs
from cycle_sound.app.web import button, controls, examples, making, reading
from cycle_sound.app.web.controls import Control
from cycle_sound.app.web.examples import Examples
from cycle_sound.app.web.sessions import Expect, Page
from cycle_sound.inference.system import CycleSound
from cycle_sound.media.blocks import windows


def add(page: Page, system: CycleSound, known: Examples, sampling: list[Control]) -> None:
    """The tab."""
    with gr.Tab(controls.TITLES["audio_to_image"]):
        sound = controls.SOUND(label="A sound", sources=["upload", "microphone"])
        examples.add(sound, known.of["audio_to_image"])
        steered, share = controls.steering(controls.OTHER_SOUND, f", of which the first {system.seconds:.1f} s count")
        work = partial(_pictures, system, known)
        button.add(page, "Make pictures", [sound, *steered], [share, *sampling], work)


def _pictures(
    system: CycleSound,
    known: Examples,
    expect: Expect,
    path: Path | None,
    unlike: Path | None,
    blend: Path | None,
    share: float,
    *values: float,
) -> str:
    parts, request = list(windows([reading.sound(path)], system.seconds)), controls.request(values)
    steering = inputs.steering(reading.beginning, unlike, blend, share)
    make, real = partial(system.images, **steering), known.real(path, system.size)
    return making.results(system, parts, make, request, "audio_to_image", expect, real)
