"""A web page to try the models: sounds to pictures, pictures, drawings and films to sounds, the cycle.

Gradio serves it, and it loads nothing from other servers. `gate` says which requests come in, `uploads` keeps the files
that they bring, and `inputs` alone reads these files: no component of gradio decodes anything.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cycle_sound.app import uploads

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it when imported, and would report its use
os.environ["GRADIO_TEMP_DIR"] = str(uploads.FOLDER)  # else a folder that all programs of the machine share

import gradio as gr
from gradio import processing_utils
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from cycle_sound.app import cycle_page, gate, inputs, knowledge, page_examples
from cycle_sound.app.page_examples import Example
from cycle_sound.errors import BadInput, BadLogin, UserError
from cycle_sound.inference import continuation, soundtrack
from cycle_sound.inference.fixed_batches import size_for
from cycle_sound.inference.system import CycleSound, Station, Thing
from cycle_sound.io import files, templates
from cycle_sound.media import film_writer
from cycle_sound.media.contact_sheet import clock
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound, windows
from cycle_sound.params import DIRECTIONS, SamplingConfig, SamplingConfigs

MAX_SECONDS = 60.0  # of a sound or a film: forty or seventy windows, half a minute of work on two cores
MAX_PIXELS = 4_000_000_000  # that are decoded of a film: a minute of 1080p with 30 pictures a second, in 20 s
MAX_LENGTH = 30  # seconds that a picture sounds: fifty windows, one after another, take half a minute
HEARD = MAX_SECONDS + 1  # seconds that are decoded, whatever a file holds
MAX_DRAWS = 160  # windows × results × candidates of one request: two minutes
MAX_ROUNDS = 4
MAX_SEED = (1 << 31) - 1
WAITING = 16  # requests in the queue; one is worked on at a time, by all cores
SESSIONS = 100  # whose settings gradio remembers, in some 100 kB each; a forgotten one just goes on
PATIENCE = 10.0  # seconds until a browser that asked for a result must listen for it: meanwhile all others wait
TIDY_EVERY = 60.0  # seconds
CANVAS = 512  # pixels
OTHER_PICTURE = partial(gr.Image, sources=["upload", "clipboard"], height=200)

TITLE = "Cycle_Sound"
TO_PICTURE, TO_SOUND, TO_SOUNDTRACK = "Sound → picture", "Picture → sound", "Film → soundtrack"
INTRODUCTION = f"# {TITLE}\nSound into pictures, pictures into sound, and round again."
NO_CONFIDENCE = "These models carry no confidence: how sure a result is, is not shown."
FILMS = (
    f"Films of up to {MAX_SECONDS:.0f} s and {gate.MAX_FILE >> 20} MB. Each moment gets the sound of its picture; "
    "the pictures stay as they are. Films are deleted after an hour."
)
STEERING = "Less of one thing, some of another"
REAL = "real"  # the caption of an example's own target
FONT = ("system-ui", "sans-serif")  # the browser's own: gradio's come from a server

Expect = Callable[[], None]  # raises gr.Error if nobody waits for the result any more
Control = gr.Number | gr.Slider | gr.Checkbox
Reals = Mapping[str, Path]  # by the SHA-256 of an example, its own target


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
    """The page of a system. `samples` is the folder of the evaluate stage, which holds examples.

    Raises `BadSamples` for a file there that holds none.
    """
    uploads.prepare()
    examples = {name: page_examples.examples(samples, name) if samples else [] for name in DIRECTIONS}
    reals = {files.digest(one.source): one.real for some in examples.values() for one in some if one.real}
    with Page() as blocks:
        gr.Markdown(INTRODUCTION)
        gr.Markdown(templates.markdown(knowledge.sentence(system.models)), latex_delimiters=[])
        if not system.knows_confidence:
            gr.Markdown(NO_CONFIDENCE)
        with gr.Sidebar(label="How to draw", open=False):
            controls = _controls(system.sampling)
        with gr.Tab(TO_PICTURE):
            sound = gr.Audio(label="A sound", sources=["upload", "microphone"], type="filepath", editable=False)
            _examples(sound, examples["audio_to_image"])
            steered, share = _steering(partial(gr.Audio, sources=["upload"], type="filepath", editable=False))
            _task(blocks, "Make pictures", [sound, *steered], [share, *controls], _pictures(system, reals))
        with gr.Tab(TO_SOUND):
            picture = gr.Image(label="A picture", sources=["upload", "webcam", "clipboard"], height=300)
            _examples(picture, examples["image_to_audio"])
            length = _length(system)
            steered, share = _steering(OTHER_PICTURE)
            _task(blocks, "Make sounds", [picture, *steered], [length, share, *controls], _sounds(system, reals))
        with gr.Tab("Drawing → sound"):
            drawing = gr.Sketchpad(label="A drawing", canvas_size=(CANVAS, CANVAS), height=CANVAS, layers=False)
            length = _length(system)
            steered, share = _steering(OTHER_PICTURE)
            _task(blocks, "Make sounds", [drawing, *steered], [length, share, *controls], _sounds(system, reals))
        with gr.Tab(TO_SOUNDTRACK):
            film = gr.File(label="A film", file_types=["video"], type="filepath")
            mix = gr.Checkbox(False, label="Mix", info="Keep the film's own sound under the new one.")
            steered, share = _steering(OTHER_PICTURE)
            work = _soundtracks(system)
            _task(blocks, "Make soundtracks", [film, *steered], [mix, share, *controls], work, FILMS)
        with gr.Tab("Cycle"):
            start = gr.File(label="A sound or a picture", type="filepath")
            heard = [one._replace(name=f"{one.name}, a sound") for one in examples["audio_to_image"][:4]]
            seen = [one._replace(name=f"{one.name}, a picture") for one in examples["image_to_audio"][:4]]
            _examples(start, heard + seen)
            rounds = gr.Slider(1, MAX_ROUNDS, 2, step=1, label="Rounds", info="How often there and back")
            _task(blocks, "Go round", [start], [rounds, *controls], _cycle(system, reals))
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


def _controls(sampling: SamplingConfigs) -> list[Control]:
    """The inputs that `_request` reads: seed, results, candidates, then the sliders of each direction."""
    controls: list[Control] = [
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


def _steering(component: Callable[..., gr.components.Component]) -> tuple[list[gr.components.Component], gr.Slider]:
    """The inputs of other sources, unlike and blend, and the share of the latter."""
    with gr.Accordion(STEERING, open=False), gr.Row():
        unlike = component(label="Unlike: less of this, the more so the higher the guidance")
        with gr.Column():
            blend = component(label="Blend: mixed with this")
            share = gr.Slider(0, 1, 0.5, step=0.05, label="Share", info="Of it in the mixture.")
    return [unlike, blend], share


def _length(system: CycleSound) -> gr.Slider:
    """How long a picture sounds."""
    info = (
        f"Each part goes on where the one before ends; figures are of the first. 0: one clip, {system.seconds:.1f} s."
    )
    return gr.Slider(0, MAX_LENGTH, 0, step=1, label="Seconds", info=info)


def _request(values: Sequence[float]) -> SamplingRequest:
    """The values of `_controls` as a request."""
    seed, results, candidates, *sliders = values
    count = len(SamplingConfig.model_fields)
    sampling = SamplingConfigs(audio_to_image=_sampling(*sliders[:count]), image_to_audio=_sampling(*sliders[count:]))
    return SamplingRequest(int(seed), int(results), int(candidates), sampling)


def _sampling(temperature: float, top_k: float, top_p: float, guidance: float) -> SamplingConfig:
    return SamplingConfig(temperature=temperature, top_k=int(top_k), top_p=top_p, guidance=guidance)


def _examples(source: gr.components.Component, examples: Sequence[Example]) -> None:
    """A button for each example, which puts it into `source`. Those of gr.Examples go round the queue, and the gate."""
    if not examples:
        return
    copies = [processing_utils.save_file_to_cache(one.source, uploads.FOLDER) for one in examples]

    def chosen(row: Any) -> str:
        if not isinstance(row, int) or not 0 <= row < len(copies):
            raise gr.Error("no such example", print_exception=False)
        return copies[row]

    buttons = gr.Dataset(
        label="From the test pairs",
        components=[source],
        samples=[[path] for path in copies],
        sample_labels=[one.name for one in examples],
        type="index",
    )
    buttons.click(chosen, buttons, source, show_progress="hidden", concurrency_limit=None)


def _task(
    blocks: Page,
    name: str,
    sources: Sequence[gr.components.Component],
    controls: Sequence[Control],
    work: Callable[..., str],
    legend: str = cycle_page.LEGEND,
) -> None:
    """A button that calls `work(expect, *paths, *controls)`, the HTML that it returns, and the legend."""

    def pressed(visitor: gr.Request, *values: Any) -> str:
        paths, session = [_path_of(value) for value in values[: len(sources)]], str(visitor.session_hash)
        blocks.expect(session, PATIENCE)
        with friendly(paths):
            given = _within(controls, values[len(sources) :])
            return blocks.worker.submit(work, partial(blocks.expect, session), *paths, *given).result()

    button = gr.Button(name, variant="primary")
    shown = gr.HTML(min_height=40)
    gr.Markdown(legend)
    # Without `preprocess` a value is what the gate let in; the components would decode files of any size.
    button.click(
        pressed, [*sources, *controls], shown, show_progress="full", preprocess=False, concurrency_id="the models"
    )


# --- what the buttons do


def _path_of(value: Any) -> Path | None:
    """The uploaded file in the value of a component; of a drawing, the whole of it."""
    if isinstance(value, dict) and "composite" in value:
        value = value["composite"]
    return Path(value["path"]) if isinstance(value, dict) else None


def _within(controls: Sequence[Control], values: Sequence[Any]) -> Sequence[Any]:
    """The values of controls. Raises `BadInput` for one that its control does not allow."""
    for control, value in zip(controls, values, strict=True):
        if isinstance(control, gr.Checkbox):
            if not isinstance(value, bool):
                raise BadInput(f"{control.label}: yes or no")
            continue
        least, most = control.minimum or 0, control.maximum or 0
        if not isinstance(value, int | float) or not least <= value <= most:
            raise BadInput(f"{control.label}: from {least} to {most}")
    return values


def _pictures(system: CycleSound, reals: Reals) -> Callable[..., str]:
    def work(
        expect: Expect, path: Path | None, unlike: Path | None, blend: Path | None, share: float, *values: float
    ) -> str:
        parts, request = windows(_sound(path), system.seconds), _request(values)
        steering = inputs.steering(_sound, unlike, blend, share)
        make = partial(system.images, sampling=request.sampling.audio_to_image, **steering)
        return _results(system, parts, make, request, expect, _real(reals, path))

    return work


def _sounds(system: CycleSound, reals: Reals) -> Callable[..., str]:
    def work(
        expect: Expect,
        path: Path | None,
        unlike: Path | None,
        blend: Path | None,
        length: float,
        share: float,
        *values: float,
    ) -> str:
        if path is None:
            raise BadInput("drop, photograph or draw a picture first")
        request, steering = _request(values), inputs.steering(inputs.picture, unlike, blend, share)
        draw, seconds = request.sampling.image_to_audio, length or None
        make = partial(system.sounds, sampling=draw, seconds=seconds, **steering)
        each = 1 if seconds is None else continuation.layout(seconds, system.models).windows
        return _results(system, [inputs.picture(path)], make, request, expect, _real(reals, path), each)

    return work


def _soundtracks(system: CycleSound) -> Callable[..., str]:
    def work(
        expect: Expect,
        path: Path | None,
        unlike: Path | None,
        blend: Path | None,
        mix: bool,
        share: float,
        *values: float,
    ) -> str:
        film, request = _film(path), _request(values)
        _check_draws(soundtrack.layout(film.seconds, system.models).windows, request)
        steering = inputs.steering(inputs.picture, unlike, blend, share)
        draw = partial(system.sounds, candidates=request.candidates, sampling=request.sampling.image_to_audio)

        def make(pictures: Sequence[Image.Image], seed: int) -> list[Sound]:
            expect()
            return draw(pictures, seed=seed, **steering)

        shown, ending = [], film_writer.ending(film)
        for seed in range(request.seed, request.seed + request.results):
            written = uploads.free(ending)
            with inputs.named(film.path), files.replacing(written) as part:
                soundtrack.write(part, film, partial(make, seed=seed), system.models, mix)
            address = f"{gate.API}/file={quote(str(written))}"
            shown.append(cycle_page.Film(f"seed {seed}", f"{film.path.stem}{ending}", address))
        return cycle_page.films(shown)

    return work


def _cycle(system: CycleSound, reals: Reals) -> Callable[..., str]:
    def work(_: Expect, path: Path | None, rounds: float, *values: float) -> str:
        if path is None:
            raise BadInput("drop a sound or a picture first")
        start, request = _short(inputs.either(path, HEARD)), _request(values)
        stations = system.cycle(
            start, int(rounds), seed=request.seed, candidates=request.candidates, sampling=request.sampling
        )
        shown = [(cycle_page.place(number), station) for number, station in enumerate(stations)]
        return cycle_page.figures([*shown, *_beside(system, _real(reals, path), start)], system.models.audio)

    return work


def _results(
    system: CycleSound,
    sources: Sequence[Thing],
    make: Callable[..., list[Any]],
    request: SamplingRequest,
    expect: Expect,
    real: Thing | None,
    each: int = 1,
) -> str:
    """HTML of what `make` generates from the sources, with label, likelihood and confidence of each result.

    `real`: the first source's own target, which is shown beside them; `each`: windows that are drawn for each source.
    Raises `BadInput` for more than MAX_DRAWS, and as `expect` does between two batches of the models.
    """
    _check_draws(len(sources) * each, request)
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
    return cycle_page.figures([*shown, *_beside(system, real, sources[0])], system.models.audio)


def _check_draws(windows: int, request: SamplingRequest) -> None:
    """Raise `BadInput` for a request of more than MAX_DRAWS."""
    if windows * request.results * request.candidates > MAX_DRAWS:
        raise BadInput(
            f"{windows} windows × {request.results} results × {request.candidates} candidates: "
            f"no more than {MAX_DRAWS} in all"
        )


def _real(reals: Reals, path: Path | None) -> Thing | None:
    """The own target of an uploaded file, if that is one of the examples."""
    own = None if path is None else reals.get(files.digest(path))
    return None if own is None else inputs.either(own)


def _beside(system: CycleSound, real: Thing | None, source: Thing) -> list[tuple[str, Station]]:
    """A source's own target as a station, with its caption; none where it has none."""
    return [] if real is None else [(REAL, system.describe(real, source, source))]


@contextmanager
def friendly(paths: Sequence[Path | None]) -> Iterator[None]:
    """Show a `UserError` as a message that names uploaded files as the user does, without the folders they lie in."""
    try:
        yield
    except UserError as error:
        text = str(error)
        for path in filter(None, paths):
            text = text.replace(str(path), path.name)
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


def _film(path: Path | None) -> FilmReader:
    """The uploaded film. Raises `BadInput`."""
    if path is None:
        raise BadInput("drop a film first")
    film = inputs.film(path, MAX_PIXELS)
    if film.seconds > MAX_SECONDS:
        raise BadInput(f"no more than {MAX_SECONDS:.0f} s of film here")
    return film
