"""A web page to try the models: sounds to pictures, pictures and drawings to sounds, the cycle.

Gradio serves it, and it loads nothing from other servers. `gate` says which requests come in, `uploads` keeps the files
that they bring, and `inputs` alone reads these files: no component of gradio decodes anything.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cycle_sound.app import uploads

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it when imported, and would report its use
os.environ["GRADIO_TEMP_DIR"] = str(uploads.FOLDER)  # else a folder that all programs of the machine share

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from cycle_sound.app import cycle_page, gate, inputs
from cycle_sound.errors import BadInput, BadLogin, UserError
from cycle_sound.inference.fixed_batches import size_for
from cycle_sound.inference.system import CycleSound, Station, Thing
from cycle_sound.media.contact_sheet import clock
from cycle_sound.media.sounds import Sound, windows
from cycle_sound.params import DIRECTIONS, SamplingConfig, SamplingConfigs

MAX_SECONDS = 60.0  # of a sound: forty pictures, half a minute of work on two cores
HEARD = MAX_SECONDS + 1  # seconds that are decoded, whatever a file holds
MAX_DRAWS = 160  # windows × results × candidates of one request: two minutes
MAX_ROUNDS = 4
MAX_SEED = (1 << 31) - 1
WAITING = 16  # requests in the queue; one is worked on at a time, by all cores
SESSIONS = 100  # whose settings gradio remembers, in some 100 kB each; a forgotten one just goes on
PATIENCE = 10.0  # seconds until a browser that asked for a result must listen for it: meanwhile all others wait
TIDY_EVERY = 60.0  # seconds
CANVAS = 512  # pixels

TITLE = "Cycle_Sound"
TO_PICTURE, TO_SOUND = "Sound → picture", "Picture → sound"
INTRODUCTION = f"# {TITLE}\nSound into pictures, pictures into sound, and round again."
NO_CONFIDENCE = "These models carry no confidence: how sure a result is, is not shown."
FONT = ("system-ui", "sans-serif")  # the browser's own: gradio's come from a server

Expect = Callable[[], None]  # raises gr.Error if nobody waits for the result any more


class SamplingRequest(NamedTuple):
    """What the controls of the page are set to."""

    seed: int  # of the first result; the seeds of the others follow
    results: int  # per source
    candidates: int  # to re-rank for each result
    sampling: SamplingConfigs


class Page(gr.Blocks):
    """A page that knows which of its sessions listen."""

    def __init__(self) -> None:
        super().__init__(title=TITLE, analytics_enabled=False)
        self.listening: Counter[str] = Counter()  # open streams of results, by session
        self.worker = ThreadPoolExecutor(1)  # for the models, which keep memory for each thread that they run in

    def expect(self, session: str, patience: float = 0.0) -> None:
        """Wait up to `patience` seconds for a session to listen. Raises gr.Error if it does not."""
        deadline = time.monotonic() + patience
        while not self.listening[session]:
            if time.monotonic() >= deadline:
                raise gr.Error("nobody waits for this", print_exception=False)
            time.sleep(0.02)


def page(system: CycleSound, samples: Path | None = None) -> Page:
    """The page of a system. `samples` is the folder of the evaluate stage, whose DIRECTION/ID/source.* are examples."""
    uploads.prepare()
    examples = {name: sorted(samples.glob(f"{name}/*/source.*")) if samples else [] for name in DIRECTIONS}
    with Page() as blocks:
        gr.Markdown(INTRODUCTION)
        if not system.knows_confidence:
            gr.Markdown(NO_CONFIDENCE)
        with gr.Sidebar(label="How to draw", open=False):
            controls = _controls(system.sampling)
        with gr.Tab(TO_PICTURE):
            sound = gr.Audio(label="A sound", sources=["upload", "microphone"], type="filepath", editable=False)
            _task(blocks, "Make pictures", sound, controls, _pictures(system), examples["audio_to_image"])
        with gr.Tab(TO_SOUND):
            picture = gr.Image(label="A picture", sources=["upload", "webcam", "clipboard"], height=300)
            _task(blocks, "Make sounds", picture, controls, _sounds(system), examples["image_to_audio"])
        with gr.Tab("Drawing → sound"):
            drawing = gr.Sketchpad(label="A drawing", canvas_size=(CANVAS, CANVAS), height=CANVAS, layers=False)
            _task(blocks, "Make sounds", drawing, controls, _sounds(system), [])
        with gr.Tab("Cycle"):
            start = gr.File(label="A sound or a picture", type="filepath")
            rounds = gr.Slider(1, MAX_ROUNDS, 2, step=1, label="Rounds", info="How often there and back")
            both = examples["audio_to_image"][:4] + examples["image_to_audio"][:4]
            _task(blocks, "Go round", start, [rounds, *controls], _cycle(system), both)
    blocks.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return blocks


def serve(blocks: Page, host: str, port: int | None, block: bool = True, auth: str | None = None) -> str:
    """Serve a page and return its address; with `block` until an interrupt, or the end that a system asks for.

    `auth` is the NAME:PASSWORD that visitors are asked for. Raises `BadLogin` as `login` does, and OSError where the
    port is taken.
    """
    visitors = login(host, auth)
    kept = uploads.files()  # the examples
    door = Middleware(gate.Gate, host=host, listening=blocks.listening, kept=kept)
    if block:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the uploads stay behind
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        auth=visitors,
        max_file_size=gate.MAX_FILE,
        prevent_thread_lock=not block,
        quiet=True,
        ssr_mode=False,
        share=False,
        mcp_server=False,
        num_workers=0,  # they would listen at ports of their own, before no gate
        run_history=False,
        state_session_capacity=SESSIONS,
        footer_links=[],
        enable_monitoring=False,
        app_kwargs={"middleware": [door], "lifespan": partial(_tidied, blocks=blocks, kept=kept)},
        theme=gr.themes.Base(font=FONT, font_mono=("ui-monospace", "monospace")),
        css=cycle_page.STYLE,
    )
    return address


def login(host: str, auth: str | None) -> tuple[str, str] | None:
    """The name and the password of NAME:PASSWORD, or none for a host that only this machine reaches.

    Raises `BadLogin` for any other host without them, and where one of them is empty.
    """
    if auth is None:
        if not gate.is_local(host):
            raise BadLogin(f"{host}: other machines could use the page: give --auth NAME:PASSWORD")
        return None
    name, _, password = auth.partition(":")
    if not name or not password:
        raise BadLogin("--auth: not NAME:PASSWORD")
    return name, password


@asynccontextmanager
async def _tidied(_: Any, blocks: Page, kept: set[Path]) -> AsyncIterator[None]:
    """Delete old uploads while the server runs, and let gradio forget them."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY)
            await run_in_threadpool(uploads.tidy, kept)
            left = {str(path) for path in uploads.files()}
            for known in blocks.temp_file_sets:
                known.intersection_update(left)

    task = asyncio.create_task(tidy())
    try:
        yield
    finally:
        task.cancel()


# --- the parts of the page


def _controls(sampling: SamplingConfigs) -> list[gr.Number | gr.Slider]:
    """The inputs that `_request` reads: seed, results, candidates, then the sliders of each direction."""
    controls: list[gr.Number | gr.Slider] = [
        gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, info="The same seed, the same result."),
        gr.Slider(1, 4, 1, step=1, label="Results"),
        gr.Slider(1, 16, 1, step=1, label="Candidates", info="Of so many, keep the one that explains its source best."),
    ]
    with gr.Accordion(TO_PICTURE, open=False):
        controls += _sliders(sampling.audio_to_image)
    with gr.Accordion(TO_SOUND, open=False):
        controls += _sliders(sampling.image_to_audio)
    return controls


def _sliders(sampling: SamplingConfig) -> list[gr.Slider]:
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
    return SamplingRequest(int(seed), int(results), int(candidates), sampling)


def _sampling(temperature: float, top_k: float, top_p: float, guidance: float) -> SamplingConfig:
    return SamplingConfig(temperature=temperature, top_k=int(top_k), top_p=top_p, guidance=guidance)


def _task(
    blocks: Page,
    name: str,
    source: gr.components.Component,
    controls: Sequence[gr.Number | gr.Slider],
    work: Callable[..., str],
    examples: Sequence[Path],
) -> None:
    """Examples for `source`, a button that calls `work(expect, path, *controls)`, and the HTML that it returns."""
    if examples:
        names = [f"{path.parent.name}{path.suffix}" for path in examples]
        gr.Examples([[str(path)] for path in examples], [source], label="From the test pairs", example_labels=names)

    def pressed(visitor: gr.Request, value: Any, *values: Any) -> str:
        path, session = _path_of(value), str(visitor.session_hash)
        blocks.expect(session, PATIENCE)
        with friendly(path):
            given = _within(controls, values)
            return blocks.worker.submit(work, partial(blocks.expect, session), path, *given).result()

    button = gr.Button(name, variant="primary")
    shown = gr.HTML(min_height=40)
    # Without `preprocess` a value is what the gate let in; the components would decode files of any size.
    button.click(
        pressed, [source, *controls], shown, show_progress="full", preprocess=False, concurrency_id="the models"
    )


# --- what the buttons do


def _path_of(value: dict[str, Any] | None) -> Path | None:
    """The uploaded file in the value of a component; of a drawing, the whole of it."""
    if value and "composite" in value:
        value = value["composite"]
    return Path(value["path"]) if value else None


def _within(controls: Sequence[gr.Number | gr.Slider], values: Sequence[Any]) -> Sequence[Any]:
    """The values of controls. Raises `BadInput` for one that its control does not allow."""
    for control, value in zip(controls, values, strict=True):
        least, most = control.minimum or 0, control.maximum or 0
        if not isinstance(value, int | float) or not least <= value <= most:
            raise BadInput(f"{control.label}: from {least} to {most}")
    return values


def _pictures(system: CycleSound) -> Callable[..., str]:
    def work(expect: Expect, path: Path | None, *values: float) -> str:
        parts, request = windows(_sound(path), system.seconds), _request(values)
        make = partial(system.images, sampling=request.sampling.audio_to_image)
        return _results(system, parts, make, request, expect)

    return work


def _sounds(system: CycleSound) -> Callable[..., str]:
    def work(expect: Expect, path: Path | None, *values: float) -> str:
        if path is None:
            raise BadInput("drop, photograph or draw a picture first")
        request = _request(values)
        make = partial(system.sounds, sampling=request.sampling.image_to_audio)
        return _results(system, [inputs.picture(path)], make, request, expect)

    return work


def _cycle(system: CycleSound) -> Callable[..., str]:
    def work(_: Expect, path: Path | None, rounds: float, *values: float) -> str:
        if path is None:
            raise BadInput("drop a sound or a picture first")
        start, request = _short(inputs.either(path, HEARD)), _request(values)
        stations = system.cycle(
            start, int(rounds), seed=request.seed, candidates=request.candidates, sampling=request.sampling
        )
        shown = ((cycle_page.place(number), station) for number, station in enumerate(stations))
        return cycle_page.figures(shown, system.models.audio) + f'<p style="margin-top: 1rem">{cycle_page.LEGEND}</p>'

    return work


def _results(
    system: CycleSound,
    sources: Sequence[Thing],
    make: Callable[..., list[Any]],
    request: SamplingRequest,
    expect: Expect,
) -> str:
    """HTML of what `make` generates from the sources, with label, likelihood and confidence of each result.

    Raises `BadInput` for more than MAX_DRAWS, and as `expect` does between two batches of the models.
    """
    draws = len(sources) * request.results * request.candidates
    if draws > MAX_DRAWS:
        raise BadInput(
            f"{len(sources)} sources × {request.results} results × {request.candidates} candidates: "
            f"no more than {MAX_DRAWS} in all"
        )
    shown: list[tuple[str, Station]] = []
    together = max(1, size_for(system.models.device) // request.candidates)  # sources
    for seed in range(request.seed, request.seed + request.results):
        for first in range(0, len(sources), together):
            expect()
            part = sources[first : first + together]
            generated = make(part, seed=seed, candidates=request.candidates)
            for place, (source, thing) in enumerate(zip(part, generated, strict=True), first):
                moment = f"{clock(place * system.seconds)}, " if len(sources) > 1 else ""
                shown.append((f"{moment}seed {seed}", system.describe(thing, source, source)))
    return cycle_page.figures(shown, system.models.audio)


@contextmanager
def friendly(path: Path | None) -> Iterator[None]:
    """Show a `UserError` as a message that names an uploaded file as the user does, without the folder it lies in."""
    try:
        yield
    except UserError as error:
        text = str(error).replace(str(path), path.name) if path else str(error)
        raise gr.Error(text, title="That did not work", print_exception=False) from None


def _short(thing: Thing) -> Thing:
    """What was given. Raises `BadInput` for a sound of more than MAX_SECONDS."""
    if isinstance(thing, Sound) and thing.seconds > MAX_SECONDS:
        raise BadInput(f"no more than {MAX_SECONDS:.0f} s of sound here")
    return thing


def _sound(path: Path | None) -> Sound:
    """The uploaded sound. Raises `BadInput`."""
    if path is None:
        raise BadInput("drop or record a sound first")
    sound = _short(inputs.sound(path, HEARD))
    assert isinstance(sound, Sound)
    return sound
