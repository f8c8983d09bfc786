"""A page to play with, in the browser: sounds to pictures, pictures and drawings to sounds, the cycle.

Gradio serves it; nothing is loaded from elsewhere. What comes in is read like any other file: bounded, never trusted.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: it would call home

import gradio as gr
from PIL import Image

from cycle_sound import inputs, pages
from cycle_sound.audio import BadSound
from cycle_sound.inputs import BadInput
from cycle_sound.params import Sampling, Samplings
from cycle_sound.sheet import clock
from cycle_sound.sounds import Sound, windows
from cycle_sound.system import CycleSound, Station, Thing

MAX_BYTES = 32 << 20  # of a file: a minute of 48 kHz float WAV has 12 MB, a large photograph 20
MAX_SECONDS = 60.0  # of a sound: forty pictures, half a minute of work on two cores
MAX_ROUNDS = 4
WAITING = 16  # requests in the queue; one is worked on at a time, by all cores
CANVAS = 512  # pixels

TITLE = "Cycle_Sound"
TO_PICTURE, TO_SOUND = "Sound → picture", "Picture → sound"
INTRODUCTION = f"# {TITLE}\nSound into pictures, pictures into sound, and round again."
FONT = ("system-ui", "sans-serif")  # names of a browser's own fonts: gradio's would come from a server


class Draw(NamedTuple):
    """How a visitor wants results drawn."""

    seed: int
    results: int
    candidates: int
    sampling: Samplings


def page(system: CycleSound, samples: Path | None = None) -> gr.Blocks:
    """The page of a system. `samples` holds DIRECTION/ID/source.*, as `evaluate` writes them: the examples."""
    found = {way: sorted(samples.glob(f"{way}/*/source.*")) if samples else [] for way in system.models.transformers}
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Sidebar(label="How to draw", open=False):
            draw = _controls(system.sampling)
        with gr.Tab(TO_PICTURE):
            sound = gr.Audio(label="A sound", sources=["upload", "microphone"], type="filepath", editable=False)
            _work("Make pictures", sound, draw, _pictures(system), found["audio_to_image"])
        with gr.Tab(TO_SOUND):
            picture = gr.Image(label="A picture", sources=["upload", "webcam", "clipboard"], height=300)
            picture.preprocess = _unread  # type: ignore[method-assign]
            _work("Make sounds", picture, draw, _sounds(system), found["image_to_audio"])
        with gr.Tab("Drawing → sound"):
            drawing = gr.Sketchpad(
                label="A drawing", type="pil", canvas_size=(CANVAS, CANVAS), height=CANVAS, layers=False
            )
            _work("Make sounds", drawing, draw, _sounds(system), [])
        with gr.Tab("Cycle"):
            start = gr.File(label="A sound or a picture", type="filepath")
            rounds = gr.Slider(1, MAX_ROUNDS, 2, step=1, label="Rounds", info="How often there and back")
            both = found["audio_to_image"][:4] + found["image_to_audio"][:4]
            _work("Go round", start, [rounds, *draw], _cycle(system), both)
    blocks.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return blocks


def serve(blocks: gr.Blocks, host: str, port: int | None, block: bool = True) -> str:
    """Serve a page; return its address. With `block` only an interrupt ends it. Raises OSError for a taken port."""
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
        css=pages.STYLE,
    )
    return address


# --- the parts of the page


def _controls(sampling: Samplings) -> list[gr.components.Component]:
    """What a `Draw` is made of: its fields, and those of each direction's `Sampling`."""
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


def _sliders(sampling: Sampling) -> list[gr.components.Component]:
    """The fields of a `Sampling`, in their order."""
    return [
        gr.Slider(0, 2, sampling.temperature, step=0.05, label="Temperature", info="0: always the likeliest."),
        gr.Slider(0, 256, sampling.top_k, step=1, label="Top k", info="Draw from the k likeliest; 0: from all."),
        gr.Slider(0.05, 1, sampling.top_p, step=0.05, label="Top p", info="From the likeliest that hold this share."),
        gr.Slider(0, 6, sampling.guidance, step=0.25, label="Guidance", info="How much the source counts."),
    ]


def _drawn(values: Sequence[float]) -> Draw:
    """What the controls say."""
    seed, results, candidates, *sliders = values
    count = len(Sampling.model_fields)
    sampling = Samplings(audio_to_image=_sampling(*sliders[:count]), image_to_audio=_sampling(*sliders[count:]))
    return Draw(int(seed or 0), int(results), int(candidates), sampling)


def _sampling(temperature: float, top_k: float, top_p: float, guidance: float) -> Sampling:
    return Sampling(temperature=temperature, top_k=int(top_k), top_p=top_p, guidance=guidance)


def _work(
    name: str,
    given: gr.components.Component,
    others: Sequence[gr.components.Component],
    work: Callable[..., str],
    examples: Sequence[Path],
) -> None:
    """Examples, a button that works, and the place for what comes of it."""
    if examples:
        names = [f"{path.parent.name}{path.suffix}" for path in examples]
        gr.Examples([[str(path)] for path in examples], [given], label="From the test pairs", example_labels=names)
    button = gr.Button(name, variant="primary")
    shown = gr.HTML(min_height=40)
    button.click(work, [given, *others], shown, show_progress="full")


# --- what the buttons do


def _unread(payload: Any) -> str | None:
    """The path of a file, which gradio would decode by itself; here it is read with care."""
    return payload.path if payload else None


def _pictures(system: CycleSound) -> Callable[..., str]:
    def work(path: str | None, *draw: float) -> str:
        with friendly(path):
            parts, asked = windows(_sound(path), system.seconds), _drawn(draw)
            make = partial(system.images, sampling=asked.sampling.audio_to_image)
            return _results(system, parts, make, asked)

    return work


def _sounds(system: CycleSound) -> Callable[..., str]:
    def work(given: str | dict[str, Image.Image] | None, *draw: float) -> str:
        with friendly(given if isinstance(given, str) else None):
            asked = _drawn(draw)
            make = partial(system.sounds, sampling=asked.sampling.image_to_audio)
            return _results(system, [_picture(given)], make, asked)

    return work


def _cycle(system: CycleSound) -> Callable[..., str]:
    def work(path: str | None, rounds: float, *draw: float) -> str:
        with friendly(path):
            if path is None:
                raise BadInput("drop a sound or a picture first")
            start, asked = _short(inputs.either(Path(path))), _drawn(draw)
            stations = system.cycle(
                start, int(rounds), seed=asked.seed, candidates=asked.candidates, sampling=asked.sampling
            )
            shown = ((pages.place(number), station) for number, station in enumerate(stations))
            return pages.figures(shown, system.models.audio) + f'<p style="margin-top: 1rem">{pages.LEGEND}</p>'

    return work


def _results(system: CycleSound, sources: Sequence[Thing], make: Callable[..., list[Any]], draw: Draw) -> str:
    """What comes of sources, with what is said of it."""
    shown: list[tuple[str, Station]] = []
    for number in range(draw.results):
        made = make(sources, seed=draw.seed + number, candidates=draw.candidates)
        for place, (source, thing) in enumerate(zip(sources, made, strict=True)):
            moment = f"{clock(place * system.seconds)}, " if len(sources) > 1 else ""
            shown.append((f"{moment}seed {draw.seed + number}", system.judged(thing, source, source)))
    return pages.figures(shown, system.models.audio)


@contextmanager
def friendly(path: str | None) -> Iterator[None]:
    """Show what is wrong with an input as a message, by the name that the visitor knows."""
    try:
        yield
    except (BadInput, BadSound) as error:
        text = str(error).replace(str(path), Path(path).name) if path else str(error)
        raise gr.Error(text, title="That did not work", print_exception=False) from None


def _short(thing: Thing) -> Thing:
    if isinstance(thing, Sound) and thing.seconds > MAX_SECONDS:
        raise BadInput(f"{thing.seconds:.0f} s of sound: no more than {MAX_SECONDS:.0f} s here")
    return thing


def _sound(path: str | None) -> Sound:
    if path is None:
        raise BadInput("drop or record a sound first")
    sound = _short(inputs.sound(Path(path)))
    assert isinstance(sound, Sound)
    return sound


def _picture(given: str | dict[str, Image.Image] | None) -> Image.Image:
    if isinstance(given, str):
        return inputs.picture(Path(given))
    if given is None or given.get("composite") is None:
        raise BadInput("drop, photograph or draw a picture first")
    return given["composite"]
