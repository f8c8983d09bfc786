"""The page of a system: its tabs, and a sidebar with the sampling controls."""

from pathlib import Path

import gradio as gr

from cycle_sound.app import knowledge
from cycle_sound.app.web import controls, uploads
from cycle_sound.app.web.examples import Examples
from cycle_sound.app.web.sessions import TITLE, Page
from cycle_sound.app.web.tabs import cycle, film_to_soundtrack, picture_to_sound, sound_to_picture
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import templates

INTRODUCTION = f"# {TITLE}\nSound into pictures, pictures into sound, and round again."
NO_CONFIDENCE = "These models have no fitted confidence, so none is shown."
WAITING = 16  # requests in the queue; one is worked on at a time, by all cores


def page(system: CycleSound, samples: Path | None = None) -> Page:
    """The page of a system. `samples` is the folder of the evaluate stage, which holds examples.

    Raises `BadSamples` for a file there that holds none.
    """
    uploads.prepare()
    known = Examples(samples)
    with Page() as blocks:
        gr.Markdown(INTRODUCTION)
        gr.Markdown(templates.markdown(knowledge.sentence(system.models)), latex_delimiters=[])
        if not system.knows_confidence:
            gr.Markdown(NO_CONFIDENCE)
        with gr.Sidebar(label="Sampling", open=False):
            sampling = controls.sampling(system.sampling)
        sound_to_picture.add(blocks, system, known, sampling)
        picture_to_sound.add(blocks, system, known, sampling)
        film_to_soundtrack.add(blocks, system, sampling)
        cycle.add(blocks, system, known, sampling)
    blocks.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return blocks
