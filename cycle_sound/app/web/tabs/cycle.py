"""A sound or a picture goes there and back."""

from functools import partial
from pathlib import Path

import gradio as gr

from cycle_sound.app import cycle_page, knowledge
from cycle_sound.app.web import button, controls, examples, making, reading
from cycle_sound.app.web.controls import Control
from cycle_sound.app.web.examples import Examples
from cycle_sound.app.web.sessions import Expect, Page
from cycle_sound.inference.system import CycleSound, Station

MAX_ROUNDS = 4  # of two draws each, with all candidates 128: fewer than making.MAX_DRAWS
SHOWN = 4  # examples of each modality


def add(page: Page, system: CycleSound, known: Examples, sampling: list[Control]) -> None:
    """The tab."""
    with gr.Tab("Cycle"):
        start = gr.File(
            label=f"A sound, of which the first {system.seconds:.1f} s are used, or a picture", type="filepath"
        )
        heard = [one._replace(name=f"{one.name}, a sound") for one in known.of["audio_to_image"][:SHOWN]]
        seen = [one._replace(name=f"{one.name}, a picture") for one in known.of["image_to_audio"][:SHOWN]]
        examples.add(start, heard + seen)
        rounds = gr.Slider(1, MAX_ROUNDS, 2, step=1, label="Rounds", info="How often there and back")
        button.add(page, "Go round", [start], [rounds, *sampling], partial(_stations, system, known))


def _stations(
    system: CycleSound, known: Examples, expect: Expect, path: Path | None, rounds: float, *values: float
) -> str:
    start, request = reading.either(path, system.size), controls.request(values)
    stations = system.stations(start, seed=request.seed, sampling=request.sampling)
    shown: list[tuple[str, Station]] = []
    for number in range(1 + 2 * int(rounds)):
        expect()
        shown.append((cycle_page.place(number), next(stations)))
    shown += making.beside(system, known.real(path, system.size), start)
    return cycle_page.stations_html(shown, system.models.audio, knowledge.warning(system, making.THIS, [start]))
