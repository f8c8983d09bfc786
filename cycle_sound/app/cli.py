"""The command line: `cycle-sound COMMAND`. It parses and calls; an error that a user can fix is one line.

The commands import what they need when they run: `--help` and completion must not wait for torch.
"""

import re
import sys
from collections.abc import Mapping
from functools import partial
from io import TextIOWrapper
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from cycle_sound.app.terminal import Abstention, Readable, fail, say, show, warned
from cycle_sound.errors import MissingPackage, NoDevice, UserError, told
from cycle_sound.inference import licenses
from cycle_sound.io import interrupts, names

if TYPE_CHECKING:
    from cycle_sound.inference.system import CycleSound, Thing
    from cycle_sound.params import SamplingConfigs

HOST_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")  # as browsers send it: others in Punycode
BEGINNING = 2.0  # clips of a sound that are decoded where one is used: it may go on for hours
INTERRUPTED = 130  # the exit code by which shells report a SIGINT


class Commands(TyperGroup):
    """Commands that end with one line and exit code 1 for a `UserError` or an OSError; others keep their traceback.

    Ctrl-C ends with one line and exit code 130, once half-written files are deleted. SIGTERM and SIGHUP end likewise,
    without a line.
    """

    def invoke(self, ctx: Any) -> Any:  # a Context, under a private name of typer's
        """Run the command."""
        try:
            interrupts.raised()  # until now there was nothing to undo
            with interrupts.ends_raised():
                return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads the output has enough of it, and click ends without a word
            raise
        except (UserError, OSError) as error:
            fail(told(error))
        except KeyboardInterrupt:
            typer.echo(interrupts.STOPPED, err=True)
            raise typer.Exit(INTERRUPTED) from None


def located(models: Path | None) -> Path:
    """The folder of models to use: the one given, else the project's, else the bundled one. Raises `UserError`."""
    from cycle_sound.inference import locating

    return locating.located(models)


def checked(models: Path | None) -> Path | None:
    """The value of `--models`, if any, after a check that the folder holds models. Raises `UserError`."""
    located(models)
    return models


def a_number(value: float | None) -> float | None:
    """The value of an option, after a check that it is not NaN."""
    if value is not None and isnan(value):
        raise typer.BadParameter("not a number")
    return value


def a_mixture(value: tuple[Path, float] | None) -> tuple[Path, float] | None:
    """The value of `--blend`, after a check of the share."""
    if value is not None and not 0 <= value[1] <= 1:
        raise typer.BadParameter(f"a share of {value[1]:g} is not between 0 and 1")
    return value


def a_license(value: str) -> str:
    """The value of `--license`, after a check that the Hub may know such a name."""
    if refusal := licenses.refusal(value):
        raise typer.BadParameter(refusal)
    return value


def host_names(values: list[str] | None) -> list[str]:
    """The values of `--name`, after a check that each is one by which browsers may know a server."""
    for value in values or []:
        if not HOST_NAME.fullmatch(value):
            raise typer.BadParameter(f"{value!r}: must be a host name, such as sound.example.org")
    return values or []


def opened(given: Path | None, device: str) -> "CycleSound":
    """The models of a folder, on a device ("auto": a GPU if there is one); prints which are used.

    Raises `UserError`, typer.BadParameter.
    """
    from cycle_sound import CycleSound, paths
    from cycle_sound.app import knowledge

    folder = located(given)
    try:
        system = CycleSound.load(folder, None if device == "auto" else device)
    except NoDevice as error:
        raise typer.BadParameter(names.printable(str(error)), param_hint="--device") from None
    used = "the bundled models" if folder == paths.PRETRAINED else f"the models in {folder}"
    typer.echo(names.one_line(f"using {used}. {knowledge.sentence(system.models)}"), err=True)
    return system


def changes(unlike: Path | None = None, **given: float | None) -> dict[str, float]:
    """The options of sampling that are not None, after a check that needs no models. Raises typer.BadParameter."""
    from pydantic import ValidationError

    from cycle_sound.params import SamplingConfig, wrong

    changed = {name: value for name, value in given.items() if value is not None}
    try:
        SamplingConfig.model_validate({**dict.fromkeys(SamplingConfig.model_fields, 1), **changed})
    except ValidationError as error:
        first = error.errors()[0]
        option = "rerank" if first["loc"] == ("candidates",) else str(first["loc"][-1]).replace("_", "-")
        raise typer.BadParameter(wrong(first), param_hint=f"--{option}") from None
    if unlike and (guidance := changed.get("guidance", inf)) <= 1:
        reason = f"a guidance of {guidance:g} steers away from nothing; --unlike needs one above 1"
        raise typer.BadParameter(reason, param_hint="--guidance")
    return changed


def chosen(system: "CycleSound", changed: "Mapping[str, float]") -> "SamplingConfigs":
    """The sampling configuration of each direction: the models' own with `changes`."""
    from cycle_sound.params import SamplingConfigs

    own = system.sampling.model_dump()
    return SamplingConfigs.model_validate({direction: {**values, **changed} for direction, values in own.items()})


def tell_cut(system: "CycleSound", path: Path, thing: "Thing") -> None:
    """Print a line if a file holds a sound of more than one clip, of which only the first is used."""
    from cycle_sound.media import blocks
    from cycle_sound.media.sounds import Sound

    if isinstance(thing, Sound) and thing.seconds > system.seconds * (1 + blocks.SCRAP):
        typer.echo(names.one_line(f"only the first {system.seconds:.1f} s of {path} are used"), err=True)


def steering_files(unlike: Path | None, blend: tuple[Path, float] | None) -> list[Path]:
    """The files of other sources that steer sampling."""
    return [path for path in (unlike, blend and blend[0]) if path is not None]


def numbered(stem: str, number: int, samples: int) -> str:
    """The file name of sample `number`, from 0: STEM.1, STEM.2, …; STEM if there is one sample."""
    return f"{stem}.{number + 1}" if samples > 1 else stem


EPILOG = """Examples:

\b
  cycle-sound image song.mp3 -o out         a picture; for a long sound a contact sheet and a film
  cycle-sound sound *.jpg -o out            sounds from pictures, and all of them as one sound
  cycle-sound sound film.mp4 -o out         the film with a soundtrack
  cycle-sound cycle bell.wav -o out         there and back, as a page
  cycle-sound search bell.wav pictures/     which picture belongs to the sound?
  cycle-sound export models/                the models in one folder, for use elsewhere
  cycle-sound push-to-hub ann/orchestra     the models on the Hugging Face Hub
  cycle-sound web                           a page in the browser
  cycle-sound data report                   how many clips of each label there are, and their fates
  cycle-sound data audit                    the training pairs that match worst

The models are those that `dvc repro` has built in data/, else the bundled ones; --models FOLDER reads an exported
folder instead.
"""

app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, epilog=EPILOG
)

Out = Annotated[
    Path,
    typer.Option("--out", "-o", file_okay=False, help="Folder for the results; a name that is taken gets a number."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files of the same name in --out, except the sources.")
]
Models = Annotated[
    Path | None,
    typer.Option(
        callback=checked,
        help="Folder of models: a project's data/ or an exported one.",
        show_default="data/, else the bundled models",
    ),
]
OWN = "the models' own, per direction"  # of what is sampled by

Device = Annotated[str, typer.Option(help="Device to compute on: cpu, cuda, …; auto: a GPU if there is one.")]
Samples = Annotated[int, typer.Option(min=1, help="Results per source, with the seeds SEED, SEED + 1, …")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same bytes.")]
Rerank = Annotated[
    int | None,
    typer.Option(help="Draw this many candidates and keep the one that best explains its source.", show_default=OWN),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        help="Sampling temperature: lower is more typical; 0 always takes the likeliest code.", show_default=OWN
    ),
]
TopK = Annotated[
    int | None, typer.Option(help="Sample only from the K most likely codes; 0: from all.", show_default=OWN)
]
TopP = Annotated[
    float | None,
    typer.Option(
        help="Sample only from the most likely codes, with this total probability; 1: from all.", show_default=OWN
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="How strongly results follow their source; 1: as trained; higher: clearer and less varied results.",
        show_default=OWN,
    ),
]
Unlike = Annotated[
    Path | None,
    typer.Option(
        help="A source to steer away from (negative prompt), by guidance above 1. Of a sound, only the first clip is "
        "used."
    ),
]
Blend = Annotated[
    tuple[Path, float] | None,
    typer.Option(
        metavar="FILE SHARE",
        callback=a_mixture,
        help="Mix another source into each, with a weight from 0 to 1. Of a sound, only the first clip is used.",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        callback=a_number,
        help="Write only results whose probability of matching their source is at least this.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        max=36_000,
        callback=a_number,
        help="Length of the sound made from each picture; each part continues the one before.",
        show_default="one clip",
    ),
]
License = Annotated[
    str,
    typer.Option(callback=a_license, help="License of the models, such as mit or cc-by-4.0, for the model card."),
]
Half = Annotated[bool, typer.Option("--half", help="Store weights in 16 bits: half the size, other samples.")]
Scale = Annotated[int, typer.Option(min=1, max=8, help="Write pictures this many times as wide and as high.")]

data = typer.Typer(help="Inspect the pairs of a project.", no_args_is_help=True)
app.add_typer(data, name="data")


def print_version(asked: bool) -> None:
    """Print the version, if asked, and exit."""
    if asked:
        from importlib import metadata

        say(f"cycle-sound {metadata.version('cycle-sound')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn sound into pictures and pictures into sound."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that its encoding cannot represent


@data.command()
def report() -> None:
    """Print the number of clips of each label.

    Counts the clips requested, accepted in train and in test, and rejected for each reason. Run it in the project's
    folder.
    """
    from cycle_sound import paths
    from cycle_sound.acquisition import manifest, summary
    from cycle_sound.dataset import dropping

    if not paths.MANIFEST.is_file():
        fail(f"no such file: {paths.MANIFEST}; `dvc repro download` makes it")
    for line in summary.lines(manifest.read(paths.MANIFEST), dropping.dropped(paths.PAIRING)):
        say(line)


@data.command()
def audit(
    worst: Annotated[int, typer.Option(min=1, help="How many pairs to print.")] = 20,
) -> None:
    """Print the training pairs that match worst.

    Also prints the paths of a table of all pairs, and of a page with the worst to see and hear. Run it in the project's
    folder, after `dvc exp run -S audit.enabled=true`; -S data.drop_worst=0.1 also drops a tenth.
    """
    from cycle_sound import paths
    from cycle_sound.dataset import dropping

    table, fates = paths.AUDIT / dropping.TABLE, dropping.dropped(paths.PAIRING)
    if not table.is_file():
        fail(f"no such file: {table}; `dvc exp run -S audit.enabled=true` makes it")
    for pair in dropping.worst(paths.AUDIT, worst):
        fate = f" ({fates[pair.id]})" if pair.id in fates else ""
        say(f"{pair.rank:6}  {pair.pointwise_mutual_information:8.2f} nats  {pair.label or '-'}  {pair.id}{fate}")
    show([table, paths.AUDIT / dropping.PAGE])


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="Name of a file in presets/, such as fine.")],
    write: Annotated[bool, typer.Option("--write", help="Write the values into params.yaml instead.")] = False,
) -> None:
    """Print a preset's values as options for DVC.

    For an experiment: dvc exp run $(cycle-sound preset fine)
    """
    from cycle_sound.app import presets

    if write:
        presets.write(name)
        return
    try:
        say(" ".join(presets.options(name)))
    except (UserError, OSError):
        say(presets.REFUSED)
        raise


@app.command(
    epilog="""Examples:

\b
  cycle-sound image song.mp3 -o out
  cycle-sound image recordings/ -o out --samples 4 --seed 7
  cycle-sound image bell.wav -o out --rerank 8 --models models/
  cycle-sound image recordings/ -o out --min-confidence 0.9
  cycle-sound image street.wav -o out --unlike siren.wav
  cycle-sound image bell.wav -o out --blend bird.wav 0.5 --scale 8
"""
)
def image(
    sounds: Annotated[list[Path], typer.Argument(help="Sound files (WAV, MP3, …), folders of them, or films.")],
    out: Out,
    overwrite: Overwrite = False,
    samples: Samples = 1,
    seed: Seed = 0,
    rerank: Rerank = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    unlike: Unlike = None,
    blend: Blend = None,
    min_confidence: MinConfidence = None,
    scale: Scale = 1,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Make pictures from sounds.

    A sound longer than the models' clips, including that of a film, becomes one picture per window: a contact sheet,
    and a film with the sound. An hour takes hardly more memory than a minute.
    """
    from cycle_sound.app import inputs, outputs, sound_to_files

    changed = changes(unlike, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, candidates=rerank)
    files = inputs.expanded(sounds, "audio")
    for file in steering_files(unlike, blend):
        inputs.check(file)
    system = opened(models, device)
    read = partial(inputs.sound, seconds=BEGINNING * system.seconds)
    steering = inputs.steering(read, unlike, *(blend or (None, 0.0)))
    if unlike:
        tell_cut(system, unlike, steering["unlike"])
    if blend:
        tell_cut(system, blend[0], steering["blend"][0])
    sampling = chosen(system, changed)
    draw = partial(system.images, sampling=sampling.audio_to_image, **steering)
    result = outputs.Names(out, [*files, *steering_files(unlike, blend)], overwrite).result
    readable = Readable(files, inputs.long_sound)
    abstention = Abstention(system, min_confidence, located(models))
    for path, heard in readable:
        for number in range(samples):
            make, accepts = abstention.watching(path, partial(draw, seed=seed + number))
            made = result(numbered(path.stem, number, samples), ".png", ".mp4")
            with readable.reading(path):
                show(sound_to_files.write_pictures(make, heard, system.seconds, made, accepts, scale))
    readable.end()
    abstention.end()


@app.command(
    epilog="""Examples:

\b
  cycle-sound sound bell.png -o out
  cycle-sound sound pictures/ -o out --format mp3 --seed 7
  cycle-sound sound bell.png -o out --seconds 30
  cycle-sound sound film.mp4 -o out --mix
  cycle-sound sound pictures/ -o out --min-confidence 0.9
  cycle-sound sound street.png -o out --unlike siren.png
"""
)
def sound(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files (JPEG, PNG, …), folders of them, or films.")],
    out: Out,
    overwrite: Overwrite = False,
    mix: Annotated[bool, typer.Option("--mix", help="Keep a film's own sound under the new one.")] = False,
    seconds: Seconds = None,
    kind: Annotated[
        Literal["wav", "flac", "mp3"] | None,
        typer.Option("--format", help="File format of the sounds.", show_default="wav"),
    ] = None,
    samples: Samples = 1,
    seed: Seed = 0,
    rerank: Rerank = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    unlike: Unlike = None,
    blend: Blend = None,
    min_confidence: MinConfidence = None,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Make sounds from pictures.

    Each sound comes with its spectrogram; several are also cross-faded into one longer sound. A film gets a soundtrack
    made from its frames, which stay as they are. With --seconds each picture becomes a sound of that length, and they
    are not joined. An hour takes hardly more memory than a minute.
    """
    from cycle_sound.app import film_to_files, inputs, knowledge, outputs, pictures_to_files
    from cycle_sound.media import film_writer

    changed = changes(unlike, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, candidates=rerank)
    files = inputs.expanded(pictures, "image")
    films = [path for path in files if inputs.is_film(path)]
    shown = [names.printable(str(path)) for path in films]
    if films and seconds is not None:
        raise typer.BadParameter(f"{shown[0]}: a soundtrack is as long as its film", param_hint="--seconds")
    if mix and not films:
        raise typer.BadParameter("there is no film whose sound could be kept", param_hint="--mix")
    if kind and films == files:
        raise typer.BadParameter(f"{shown[0]}: a film gets a soundtrack, not a sound file", param_hint="--format")
    ending = kind or "wav"
    for file in steering_files(unlike, blend):
        inputs.check(file)
    system = opened(models, device)
    sampling = chosen(system, changed)
    read = partial(inputs.picture, size=system.size)
    steering = inputs.steering(read, unlike, *(blend or (None, 0.0)))
    draw = {"sampling": sampling.image_to_audio, **steering}
    result = outputs.Names(out, [*files, *steering_files(unlike, blend)], overwrite).result
    readable = Readable([path for path in files if path not in films], read)
    readable_films = Readable(films, inputs.film)
    abstention = Abstention(system, min_confidence, located(models))
    for number in range(samples):
        make = partial(system.sounds, seed=seed + number, **draw)

        def heard(name: str, number: int = number) -> outputs.Result:
            return result(numbered(name, number, samples), f".{ending}", ".png")

        if seconds is None:
            pictures_to_files.write_sounds(make, readable, heard, ending, system.models, abstention.accepts, show)
        else:
            for path, picture in readable:
                made, accepted = heard(path.stem), partial(abstention.accepts, path)
                blocks = system.sound_blocks(picture, seconds, seed=seed + number, progress=made.name, **draw)
                show(pictures_to_files.write_long_sound(blocks, picture, made, ending, system.models, accepted))
        for path, film in readable_films:
            watched, accepts = abstention.watching(path, make)
            made = result(numbered(path.stem, number, samples), *film_writer.FORMATS)
            with readable_films.reading(path):
                if mix and not number and not film_to_files.keeps_sound(film):
                    typer.echo(names.one_line(f"{path} {knowledge.SOUNDLESS}"), err=True)
                show(film_to_files.write_soundtrack(watched, film, made, system.models, mix, accepts))
    readable.end()
    readable_films.end()
    abstention.end()


@app.command(
    epilog="""Examples:

\b
  cycle-sound cycle bell.wav -o out
  cycle-sound cycle bell.png --rounds 4 -o out
"""
)
def cycle(
    file: Annotated[Path, typer.Argument(help="A sound or a picture.")],
    out: Out,
    overwrite: Overwrite = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often to go there and back.")] = 1,
    seed: Seed = 0,
    rerank: Rerank = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Send a sound or a picture around the cycle.

    Writes all stations as one page, NAME.html, with the label and score of each and how much of the content survived.
    Score: log-likelihood ratio of the source with and without this result, in nats. Of a sound longer than the models'
    clips, only the beginning is used. --temperature, --top-k, --top-p and --guidance apply to both directions.
    """
    from cycle_sound.app import cycle_page, inputs, knowledge, outputs

    changed = changes(temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, candidates=rerank)
    inputs.check(file)
    system = opened(models, device)
    start = inputs.either(file, system.size, BEGINNING * system.seconds)
    tell_cut(system, file, start)
    warned(system, file, [start])
    sampling = chosen(system, changed)
    stations = system.cycle(start, rounds, seed=seed, sampling=sampling)
    for number, station in enumerate(stations):
        said = ", ".join(f"{name} {text}" for name, text in cycle_page.facts(station).items())
        say(f"{cycle_page.place(number)}: {said}")
    name = names.printable(file.name)
    page = cycle_page.cycle(name, stations, system.models.audio, knowledge.warning(system, name, [start]))
    result = outputs.Names(out, [file], overwrite).result(file.stem, ".html")
    show(result.write({".html": outputs.content(page.encode())}))


@app.command(
    epilog="""Examples:

\b
  cycle-sound search bell.wav pictures/
  cycle-sound search bell.png recordings/ --top 3
"""
)
def search(
    query: Annotated[Path, typer.Argument(help="A sound or a picture.")],
    folder: Annotated[
        Path,
        typer.Argument(help="The folder to search: pictures for a sound, or sounds for a picture.", file_okay=False),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many to print.")] = 10,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Rank pictures for a sound, or sounds for a picture.

    Prints the score of each file, with the query as its source, and its path, the best first. Score: log-likelihood
    ratio of the source with and without this result, in nats. Of a sound longer than the models' clips, the window that
    fits best counts.
    """
    from cycle_sound.app import inputs, search
    from cycle_sound.media.sounds import Sound

    inputs.check(query)
    inputs.check_folder(folder)
    system = opened(models, device)
    read = partial(inputs.picture, size=system.size)
    asked = inputs.either(query, system.size)
    heard = isinstance(asked, Sound)
    files = inputs.listed(folder, "image" if heard else "audio")
    warned(system, query, [*search.seen(system, asked)])
    readable = Readable[Any](files, read if heard else inputs.sound)
    for hit in search.ranked(system, asked, readable)[:top]:
        say(f"{hit.score:8.1f}  {hit.path}")
    readable.end()


@app.command(
    epilog="""Examples:

\b
  cycle-sound export models/
  cycle-sound image bell.wav -o out --models models/
"""
)
def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder, or an earlier export.")],
    license: License = "",
    half: Half = False,
    models: Models = None,
) -> None:
    """Export the models to one folder.

    With a model card; usable without the repository, DVC or a network.
    """
    from cycle_sound.inference import export as exporting

    show(exporting.export(located(models), folder, license, half))


@app.command(
    epilog="""Examples:

\b
  hf auth login
  cycle-sound push-to-hub ann/orchestra
  cycle-sound push-to-hub ann/digits --private --license cc-by-4.0 --models models/
"""
)
def push_to_hub(
    name: Annotated[str, typer.Argument(help="USER/NAME of a repository on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is new, make it private.")] = False,
    license: License = "",
    half: Half = False,
    models: Models = None,
) -> None:
    """Export the models to the Hugging Face Hub.

    CycleSound.from_pretrained("USER/NAME") reads them from there.
    """
    from cycle_sound.inference import hub

    say(hub.upload(name, located(models), license, private, half))


@app.command(
    epilog="""Examples:

\b
  cycle-sound web
  cycle-sound web --models models/ --port 8000
  CYCLE_SOUND_AUTH=ann:secret cycle-sound web --host 0.0.0.0
  CYCLE_SOUND_AUTH=ann:secret cycle-sound web --name sound.example.org
"""
)
def web(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets the whole network in, and needs --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            callback=host_names,
            help="Name by which a proxy in front of the page is reached; may be repeated, and needs --auth.",
            show_default=False,
        ),
    ] = None,
    auth: Annotated[
        str | None, typer.Option(envvar="CYCLE_SOUND_AUTH", help="NAME:PASSWORD that visitors must give.")
    ] = None,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Serve a page in the browser.

    Record a sound, draw or photograph a picture, see and hear what becomes of it, or send it around the cycle. Ctrl-C
    ends the page.
    """
    try:
        from cycle_sound.app.web import page, server
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MissingPackage(feature="the page", package="Gradio", extra="web") from None
    server.login(host, auth, name or ())  # which need not wait for the models
    system = opened(models, device)
    if not system.knows_confidence:
        say("no confidence is shown: these models have none")
    blocks = page.page(system, located(models) / "samples")
    server.serve(blocks, host, port, auth=auth, names=name or ())


def run() -> None:
    """Run the command that is given, and let no interrupt reach what is left to do once it has ended."""
    try:
        app(prog_name="cycle-sound")
    finally:
        interrupts.ignored()


if __name__ == "__main__":
    run()
