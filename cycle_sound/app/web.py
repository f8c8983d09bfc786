"""A web page to try the models: sounds to pictures, pictures and drawings to sounds, the cycle.

Gradio serves it, and it loads nothing from other servers. Uploads are read as files are, bounded and never trusted.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it when imported, and would report its use

import gradio as gr
from PIL import Image

from cycle_sound.app import cycle_page, inputs
from cycle_sound.errors import BadInput, UserError
from cycle_sound.inference.system import CycleSound, Station, Thing
from cycle_sound.media.contact_sheet import clock
from cycle_sound.media.sounds import Sound, windows
from cycle_sound.params import DIRECTIONS, SamplingConfig, SamplingConfigs

MAX_BYTES = 32 << 20  # of a file: a minute of 48 kHz float WAV has 12 MB, a large photograph 20
MAX_SECONDS = 60.0  # of a sound: forty pictures, half a minute of work on two cores
MAX_ROUNDS = 4
WAITING = 16  # requests in the queue; one is worked on at a time, by all cores
CANVAS = 512  # pixels

TITLE = "Cycle_Sound"
TO_PICTURE, TO_SOUND = "Sound → picture", "Picture → sound"
INTRODUCTION = f"# {TITLE}\nSound into pictures, pictures into sound, and round again."
FONT = ("system-ui", "sans-serif")  # the browser's own: gradio's come from a server


class SamplingRequest(NamedTuple):
    """What the controls of the page are set to."""

    seed: int  # of the first result; the seeds of the others follow
    results: int  # per source
    candidates: int  # to re-rank for each result
    sampling: SamplingConfigs


def page(system: CycleSound, samples: Path | None = None) -> gr.Blocks:
    """The page of a system. `samples` is the folder of the evaluate stage, whose DIRECTION/ID/source.* are examples."""
    examples = {name: sorted(samples.glob(f"{name}/*/source.*")) if samples else [] for name in DIRECTIONS}
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Sidebar(label="How to draw", open=False):
            controls = _controls(system.sampling)
        with gr.Tab(TO_PICTURE):
            sound = gr.Audio(label="A sound", sources=["upload", "microphone"], type="filepath", editable=False)
            _task("Make pictures", sound, controls, _pictures(system), examples["audio_to_image"])
        with gr.Tab(TO_SOUND):
            picture = gr.Image(label="A picture", sources=["upload", "webcam", "clipboard"], height=300)
            picture.preprocess = _path_of  # type: ignore[method-assign]
            _task("Make sounds", picture, controls, _sounds(system), examples["image_to_audio"])
        with gr.Tab("Drawing → sound"):
            drawing = gr.Sketchpad(
                label="A drawing", type="pil", canvas_size=(CANVAS, CANVAS), height=CANVAS, layers=False
            )
            _task("Make sounds", drawing, controls, _sounds(system), [])
        with gr.Tab("Cycle"):
            start = gr.File(label="A sound or a picture", type="filepath")
            rounds = gr.Slider(1, MAX_ROUNDS, 2, step=1, label="Rounds", info="How often there and back")
            both = examples["audio_to_image"][:4] + examples["image_to_audio"][:4]
            _task("Go round", start, [rounds, *controls], _cycle(system), both)
    blocks.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return blocks


def serve(blocks: gr.Blocks, host: str, port: int | None, block: bool = True) -> str:
    """Serve a page and return its address; with `block` until an interrupt. Raises OSError where the port is taken."""
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        max_file_size=MAX_BYTES,
        prevent_thread_lock=not block,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        enable_monitoring=False,
        theme=gr.themes.Base(font=FONT, font_mono=("ui-monospace", "monospace")),
        css=cycle_page.STYLE,
    )
    return address


# --- the parts of the page


def _controls(sampling: SamplingConfigs) -> list[gr.components.Component]:
    """The inputs that `_request` reads: seed, results, candidates, then the sliders of each direction."""
    controls: list[gr.components.Component] = [
        gr.Number(0, label="Seed", precision=0, minimum=0, info="The same seed gives the same result."),
        gr.Slider(1, 4, 1, step=1, label="Results"),
        gr.Slider(1, 16, 1, step=1, label="Candidates", info="Of so many, keep the one that explains its source best."),
    ]
    with gr.Accordion(TO_PICTURE, open=False):
        controls += _sliders(sampling.audio_to_image)
    with gr.Accordion(TO_SOUND, open=False):
        controls += _sliders(sampling.image_to_audio)
    return controls


def _sliders(sampling: SamplingConfig) -> list[gr.components.Component]:
    """A slider for each field of `SamplingConfig`, in their order."""
    return [
        gr.Slider(0, 2, sampling.temperature, step=0.05, label="Temperature", info="0: always the likeliest."),
        gr.Slider(0, 256, sampling.top_k, step=1, label="Top k", info="Draw from the k likeliest; 0: from all."),
        gr.Slider(0.05, 1, sampling.top_p, step=0.05, label="Top p", info="From the likeliest that hold this share."),
        gr.Slider(0, 6, sampling.guidance, step=0.25, label="Guidance", info="How much the source counts."),
    ]


def _request(values: Sequence[float]) -> SamplingRequest:
    """The values of `_controls` as a request."""
    seed, results, candidates, *sliders = values
    count = len(SamplingConfig.model_fields)
    sampling = SamplingConfigs(audio_to_image=_sampling(*sliders[:count]), image_to_audio=_sampling(*sliders[count:]))
    return SamplingRequest(int(seed or 0), int(results), int(candidates), sampling)


def _sampling(temperature: float, top_k: float, top_p: float, guidance: float) -> SamplingConfig:
    return SamplingConfig(temperature=temperature, top_k=int(top_k), top_p=top_p, guidance=guidance)


def _task(
    name: str,
    source: gr.components.Component,
    controls: Sequence[gr.components.Component],
    work: Callable[..., str],
    examples: Sequence[Path],
) -> None:
    """Examples for `source`, a button that calls `work(source, *controls)`, and the HTML that it returns."""
    if examples:
        names = [f"{path.parent.name}{path.suffix}" for path in examples]
        gr.Examples([[str(path)] for path in examples], [source], label="From the test pairs", example_labels=names)
    button = gr.Button(name, variant="primary")
    shown = gr.HTML(min_height=40)
    button.click(work, [source, *controls], shown, show_progress="full")


# --- what the buttons do


def _path_of(payload: Any) -> str | None:
    """The path of an uploaded file, which gradio would decode unbounded."""
    return payload.path if payload else None


def _pictures(system: CycleSound) -> Callable[..., str]:
    def work(path: str | None, *values: float) -> str:
        with friendly(path):
            parts, request = windows(_sound(path), system.seconds), _request(values)
            make = partial(system.images, sampling=request.sampling.audio_to_image)
            return _results(system, parts, make, request)

    return work


def _sounds(system: CycleSound) -> Callable[..., str]:
    def work(source: str | dict[str, Image.Image] | None, *values: float) -> str:
        with friendly(source if isinstance(source, str) else None):
            request = _request(values)
            make = partial(system.sounds, sampling=request.sampling.image_to_audio)
            return _results(system, [_picture(source)], make, request)

    return work


def _cycle(system: CycleSound) -> Callable[..., str]:
    def work(path: str | None, rounds: float, *values: float) -> str:
        with friendly(path):
            if path is None:
                raise BadInput("drop a sound or a picture first")
            start, request = _short(inputs.either(Path(path))), _request(values)
            stations = system.cycle(
                start, int(rounds), seed=request.seed, candidates=request.candidates, sampling=request.sampling
            )
            shown = ((cycle_page.place(number), station) for number, station in enumerate(stations))
            return (
                cycle_page.figures(shown, system.models.audio) + f'<p style="margin-top: 1rem">{cycle_page.LEGEND}</p>'
            )

    return work


def _results(
    system: CycleSound, sources: Sequence[Thing], make: Callable[..., list[Any]], request: SamplingRequest
) -> str:
    """HTML of what `make` generates from the sources, with label and likelihood of each result."""
    shown: list[tuple[str, Station]] = []
    for seed in range(request.seed, request.seed + request.results):
        generated = make(sources, seed=seed, candidates=request.candidates)
        for place, (source, thing) in enumerate(zip(sources, generated, strict=True)):
            moment = f"{clock(place * system.seconds)}, " if len(sources) > 1 else ""
            shown.append((f"{moment}seed {seed}", system.describe(thing, source, source)))
    return cycle_page.figures(shown, system.models.audio)


@contextmanager
def friendly(path: str | None) -> Iterator[None]:
    """Show a `UserError` as a message that names an uploaded file as the user does, without the folder it lies in."""
    try:
        yield
    except UserError as error:
        text = str(error).replace(str(path), Path(path).name) if path else str(error)
        raise gr.Error(text, title="That did not work", print_exception=False) from None


def _short(thing: Thing) -> Thing:
    """What was given. Raises `BadInput` for a sound of more than MAX_SECONDS."""
    if isinstance(thing, Sound) and thing.seconds > MAX_SECONDS:
        raise BadInput(f"{thing.seconds:.0f} s of sound: no more than {MAX_SECONDS:.0f} s here")
    return thing


def _sound(path: str | None) -> Sound:
    """The uploaded sound. Raises `BadInput`."""
    if path is None:
        raise BadInput("drop or record a sound first")
    sound = _short(inputs.sound(Path(path)))
    assert isinstance(sound, Sound)
    return sound


def _picture(source: str | dict[str, Image.Image] | None) -> Image.Image:
    """The uploaded picture, or the drawing. Raises `BadInput`."""
    if isinstance(source, str):
        return inputs.picture(Path(source))
    if source is None or source.get("composite") is None:
        raise BadInput("drop, photograph or draw a picture first")
    return source["composite"]
