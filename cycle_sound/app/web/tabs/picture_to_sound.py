"""A picture, or a drawing, becomes a sound of any length."""

from functools import partial
from pathlib import Path

import gradio as gr

from cycle_sound.app import inputs
from cycle_sound.app.web import button, controls, examples, making, reading
from cycle_sound.app.web.controls import Control
from cycle_sound.app.web.examples import Examples
from cycle_sound.app.web.sessions import Expect, Page
from cycle_sound.inference import continuation
from cycle_sound.inference.system import CycleSound

CANVAS = 512  # pixels


def add(page: Page, system: CycleSound, known: Examples, sampling: list[Control]) -> None:
    """Both tabs: a picture that is there, and one that is drawn."""
    with gr.Tab(controls.TITLES["image_to_audio"]):
        picture = gr.Image(label="A picture", sources=["upload", "webcam", "clipboard"], height=300)
        examples.add(picture, known.of["image_to_audio"])
        _add_button(page, system, known, picture, sampling)
    with gr.Tab("Drawing → sound"):
        drawing = gr.Sketchpad(label="A drawing", canvas_size=(CANVAS, CANVAS), height=CANVAS, layers=False)
        _add_button(page, system, known, drawing, sampling)


def _add_button(
    page: Page, system: CycleSound, known: Examples, source: gr.components.Component, sampling: list[Control]
) -> None:
    length = controls.length(system)
    steered, share = controls.steering(controls.OTHER_PICTURE)
    work = partial(_sounds, system, known)
    button.add(page, "Make sounds", [source, *steered], [length, share, *sampling], work)


def _sounds(
    system: CycleSound,
    known: Examples,
    expect: Expect,
    path: Path | None,
    unlike: Path | None,
    blend: Path | None,
    length: float,
    share: float,
    *values: float,
) -> str:
    picture, request = reading.picture(path, system.size), controls.request(values)
    steering = inputs.steering(partial(inputs.picture, size=system.size), unlike, blend, share)
    seconds = length or None
    make = partial(system.sounds, seconds=seconds, callback=expect, **steering)
    each = 1 if seconds is None else continuation.layout(seconds, system.models).windows
    real = known.real(path, system.size)
    return making.results(system, [picture], make, request, "image_to_audio", expect, real, each)
