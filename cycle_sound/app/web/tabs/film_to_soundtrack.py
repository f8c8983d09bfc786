"""A film gets a soundtrack made of its pictures."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import gradio as gr
from PIL import Image

from cycle_sound.app import cycle_page, film_to_files, inputs, knowledge
from cycle_sound.app.web import button, controls, gate, making, reading, uploads
from cycle_sound.app.web.controls import Control
from cycle_sound.app.web.sessions import Expect, Page
from cycle_sound.inference import soundtrack
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import files
from cycle_sound.media import film_writer
from cycle_sound.media.sounds import Sound

LEGEND = (
    f"Films of up to {reading.MAX_SECONDS:.0f} s and {gate.MAX_FILE >> 20} MB. Each moment gets the sound of its "
    "frame; the frames stay as they are. Films are deleted after an hour."
)


def add(page: Page, system: CycleSound, sampling: list[Control]) -> None:
    """The tab."""
    with gr.Tab("Film → soundtrack"):
        film = gr.File(label="A film", file_types=["video"], type="filepath")
        mix = gr.Checkbox(False, label="Mix", info="Keep the film's own sound under the new one.")
        steered, share = controls.steering(controls.OTHER_PICTURE)
        work = partial(_soundtracks, system)
        button.add(page, "Make soundtracks", [film, *steered], [mix, share, *sampling], work, LEGEND)


def _soundtracks(
    system: CycleSound,
    expect: Expect,
    path: Path | None,
    unlike: Path | None,
    blend: Path | None,
    mix: bool,
    share: float,
    *values: float,
) -> str:
    film, request = reading.film(path), controls.request(values)
    sampling = request.sampling.image_to_audio
    windows = soundtrack.layout(film.seconds, system.models).windows
    making.check_draws(windows, request.results, sampling.candidates)
    steering = inputs.steering(partial(inputs.picture, size=system.size), unlike, blend, share)
    attended = making.attended(system, partial(system.sounds, **steering), sampling, expect)

    found: list[float] = []  # how familiar the frames are: the same ones with every seed

    def make(pictures: Sequence[Image.Image], seed: int) -> list[Sound]:
        sounds = list(attended(pictures, seed=seed))
        if seed == request.seed:
            found.extend(system.familiarities(pictures) or [])
        return sounds

    shown, ending = [], film_writer.ending(film)
    for seed in range(request.seed, request.seed + request.results):
        written = uploads.free(ending)
        with inputs.named(film.path), files.replacing(written) as part:
            soundtrack.write(part, film, partial(make, seed=seed), system.models, mix)
        address = f"{gate.API}/file={quote(str(written))}"
        shown.append(cycle_page.Film(f"seed {seed}", f"{film.path.stem}{ending}", address))
    warnings = [knowledge.unfamiliar(making.THIS, found)]
    if mix and not film_to_files.keeps_sound(film):
        warnings.append(f"This film {knowledge.SOUNDLESS}")
    return cycle_page.films(shown, [warning for warning in warnings if warning])
