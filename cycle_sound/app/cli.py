"""The command line: `cycle-sound COMMAND`. It parses and calls; an error that a user can mend is one line.

The commands import what they need when they run: `--help` and completion must not wait for torch.
"""

import sys
from functools import partial
from io import TextIOWrapper
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from cycle_sound.app.terminal import Abstention, Readable, fail, say, show
from cycle_sound.errors import MissingPackage, NoDevice, UserError, told
from cycle_sound.io import interrupts, names

if TYPE_CHECKING:
    from cycle_sound.inference.system import CycleSound
    from cycle_sound.params import SamplingConfigs

INTERRUPTED = 130  # the exit code, as shells tell a SIGINT


class Commands(TyperGroup):
    """Commands in which a `UserError` or an OSError ends as one line and exit code 1, any other with its traceback.

    Ctrl-C ends as one line and exit code 130, once what was being written is gone; so do the ends that a system asks
    for, without a line.
    """

    def invoke(self, ctx: Any) -> Any:  # a Context, under a private name of typer's
        """Run the command."""
        try:
            with interrupts.ends_raised():
                return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads the output has enough of it, and click ends without a word
            raise
        except (UserError, OSError) as error:
            fail(told(error))
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def located(models: Path | None) -> Path:
    """The folder of models that is used: the one given, a project's, or what comes along. Raises `UserError`."""
    from cycle_sound.inference import locating

    return locating.located(models)


def checked(models: Path | None) -> Path | None:
    """The folder that `--models` gives, if any, once models are known to be there. Raises `UserError`."""
    located(models)
    return models


def a_number(value: float | None) -> float | None:
    """The value of an option, once it is known to be a number."""
    if value is not None and isnan(value):
        raise typer.BadParameter("not a number")
    return value


def opened(given: Path | None, device: str) -> "CycleSound":
    """The models of a folder, on a device ("auto": a GPU if there is one); where none is given, says which they are.

    Raises `UserError`, typer.BadParameter.
    """
    from cycle_sound import CycleSound, paths
    from cycle_sound.app import knowledge

    folder = located(given)
    try:
        system = CycleSound.load(folder, None if device == "auto" else device)
    except NoDevice as error:
        raise typer.BadParameter(names.printable(str(error)), param_hint="--device") from None
    if given is None:
        whose = "that come along" if folder == paths.PRETRAINED else f"of {folder}"
        typer.echo(names.one_line(f"using the models {whose}. {knowledge.sentence(system.models)}"), err=True)
    return system


def chosen(system: "CycleSound", **given: float | None) -> "SamplingConfigs":
    """The sampling of each direction as its models have it, with the options that are not None in place of theirs."""
    from pydantic import ValidationError

    from cycle_sound.params import SamplingConfigs, wrong

    changed = {name: value for name, value in given.items() if value is not None}
    own = system.sampling.model_dump()
    try:
        return SamplingConfigs.model_validate({direction: {**values, **changed} for direction, values in own.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(wrong(first), param_hint=f"--{str(first['loc'][-1]).replace('_', '-')}") from None


def steering_files(unlike: Path | None, blend: tuple[Path, float] | None) -> list[Path]:
    """The files of other sources that steer a draw."""
    return [path for path in (unlike, blend and blend[0]) if path is not None]


def numbered(stem: str, number: int, samples: int) -> str:
    """The file name of sample `number`, from 0: STEM.1, STEM.2, …; STEM if there is one sample."""
    return f"{stem}.{number + 1}" if samples > 1 else stem


EPILOG = """Examples:

\b
  cycle-sound image song.mp3 -o out         a picture; of a long sound a sheet and a film
  cycle-sound sound *.jpg -o out            sounds of pictures, and all of them joined
  cycle-sound sound film.mp4 -o out         the film with a soundtrack
  cycle-sound cycle bell.wav -o out         there and back, as a page
  cycle-sound search bell.wav pictures/     which picture belongs to the sound?
  cycle-sound export models/                the models as one folder, to use elsewhere
  cycle-sound push-to-hub ann/orchestra     the same on the Hugging Face Hub
  cycle-sound web                           a page to play with, in the browser
  cycle-sound data report                   how many clips of each label, and what became of them
  cycle-sound data audit                    which training pairs explain each other worst

Models are read from data/, once `dvc repro` has filled it, or else from those that come along with the program; from
an exported folder with --models FOLDER.
"""

app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, epilog=EPILOG
)

Out = Annotated[
    Path,
    typer.Option("--out", "-o", file_okay=False, help="Folder to write to; beside sources, nothing is written over."),
]
Models = Annotated[
    Path | None,
    typer.Option(
        callback=checked,
        help="A project's data/ or an exported folder.",
        show_default="data/, or what comes along",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, …; auto: a GPU if there is one.")]
Samples = Annotated[int, typer.Option(min=1, help="Results per source, of the seeds SEED, SEED + 1, …")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")]
Rerank = Annotated[int, typer.Option(min=1, help="Draw so many, keep the one that best explains its source.")]
Temperature = Annotated[float | None, typer.Option(help="0: always the likeliest. Unless given, each direction's own.")]
TopK = Annotated[int | None, typer.Option(help="Draw from the K most likely tokens; 0: from all.")]
TopP = Annotated[float | None, typer.Option(help="Draw from the most likely tokens that hold this share; 1: from all.")]
Guidance = Annotated[float | None, typer.Option(help="How much the source counts; 1: as it was learned.")]
Unlike = Annotated[
    Path | None, typer.Option(help="Another source: less of what it shows, in place of guidance from nothing.")
]
Blend = Annotated[
    tuple[Path, float] | None,
    typer.Option(metavar="FILE SHARE", help="Mix another source into each, by a share between 0 and 1."),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Write nothing that shows what its source holds with less confidence."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        max=36_000,
        callback=a_number,
        help="How long a picture sounds: each part goes on where the one before ends.",
        show_default="one clip",
    ),
]
License = Annotated[str, typer.Option(help="Of the models, such as mit or cc-by-4.0; for the card.")]
Half = Annotated[bool, typer.Option("--half", help="Weights of 16 bits: half the bytes, samples that differ little.")]
Scale = Annotated[int, typer.Option(min=1, max=8, help="Write pictures so many times as wide and as high.")]

data = typer.Typer(help="Look at the pairs of a project, in its folder.", no_args_is_help=True)
app.add_typer(data, name="data")


def print_version(asked: bool) -> None:
    """Print the version, if it is asked for, and end."""
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
    """Sound into pictures, pictures into sound."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of a name that its encoding does not know


@data.command()
def report() -> None:
    """Print how many clips of each label were asked for, are in train and in test, and were rejected, and why."""
    from cycle_sound import paths
    from cycle_sound.acquisition import manifest, summary
    from cycle_sound.dataset import dropping

    if not paths.MANIFEST.is_file():
        fail(f"no such file: {paths.MANIFEST}; make it by `dvc repro download`")
    for line in summary.lines(manifest.read(paths.MANIFEST), dropping.dropped(paths.PAIRING)):
        say(line)


@data.command()
def audit(
    worst: Annotated[int, typer.Option(min=1, help="How many pairs to print.")] = 20,
) -> None:
    """Print the training pairs whose sound and picture explain each other worst, and where they are seen and heard.

    The table has all pairs. `dvc exp run -S audit.enabled=true` makes it; -S data.drop_worst=0.1 also drops a tenth.
    """
    from cycle_sound import paths
    from cycle_sound.dataset import dropping

    table, fates = paths.AUDIT / dropping.TABLE, dropping.dropped(paths.PAIRING)
    if not table.is_file():
        fail(f"no such file: {table}; make it by `dvc exp run -S audit.enabled=true`")
    for pair in dropping.worst(paths.AUDIT, worst):
        fate = f" ({fates[pair.id]})" if pair.id in fates else ""
        say(f"{pair.rank:6}  {pair.pointwise_mutual_information:8.2f} nats  {pair.label or '-'}  {pair.id}{fate}")
    show([table, paths.AUDIT / dropping.PAGE])


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="Of a file in presets/, such as fine.")],
    write: Annotated[bool, typer.Option("--write", help="Put them into params.yaml instead.")] = False,
) -> None:
    """Print a preset's values as DVC takes them: dvc exp run $(cycle-sound preset fine)."""
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
    sounds: Annotated[list[Path], typer.Argument(help="Sound files (WAV, FLAC, OGG, MP3), folders of them, films.")],
    out: Out,
    samples: Samples = 1,
    seed: Seed = 0,
    rerank: Rerank = 1,
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
    """Make pictures of sounds.

    Of a sound longer than the models' clips, or of a film's, every window becomes a picture: a contact sheet, and a
    film with the sound. An hour takes hardly more memory than a minute.
    """
    from cycle_sound.app import inputs, outputs, sound_to_files

    files = inputs.expanded(sounds, "audio")
    steering = inputs.steering(inputs.sound, unlike, *(blend or (None, 0.0)))
    system = opened(models, device)
    sampling = chosen(system, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
    draw = partial(system.images, candidates=rerank, sampling=sampling.audio_to_image, **steering)
    free = outputs.Names(out, [*files, *steering_files(unlike, blend)]).free
    readable = Readable(files, inputs.long_sound)
    abstention = Abstention(system, min_confidence, located(models))
    for path, heard in readable:
        for number in range(samples):
            make, accepts = abstention.watching(path, partial(draw, seed=seed + number))
            stem = free(numbered(path.stem, number, samples), ".png", ".mp4")
            with readable.reading(path):
                show(sound_to_files.write_pictures(make, heard, system.seconds, stem, accepts, scale))
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
    pictures: Annotated[list[Path], typer.Argument(help="Picture files (JPEG, PNG, …), folders of them, films.")],
    out: Out,
    mix: Annotated[bool, typer.Option("--mix", help="Keep a film's own sound under the new one.")] = False,
    seconds: Seconds = None,
    kind: Annotated[Literal["wav", "flac", "mp3"], typer.Option("--format", help="Of the sound files.")] = "wav",
    samples: Samples = 1,
    seed: Seed = 0,
    rerank: Rerank = 1,
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
    """Make sounds of pictures, each with its spectrogram; of several also one longer sound, cross-faded.

    A film gets a soundtrack made of its pictures, which stay as they are. With --seconds a picture sounds as long as
    that, and nothing is joined. An hour takes hardly more memory than a minute.
    """
    from cycle_sound.app import film_to_files, inputs, outputs, pictures_to_files
    from cycle_sound.media import film_writer

    files = inputs.expanded(pictures, "image")
    steering = inputs.steering(inputs.picture, unlike, *(blend or (None, 0.0)))
    films = [path for path in files if inputs.is_film(path)]
    if films and seconds is not None:
        raise typer.BadParameter(f"{films[0]}: a soundtrack is as long as its film", param_hint="--seconds")
    system = opened(models, device)
    sampling = chosen(system, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
    draw = {"candidates": rerank, "sampling": sampling.image_to_audio, **steering}
    free = outputs.Names(out, [*files, *steering_files(unlike, blend)]).free
    readable = Readable([path for path in files if path not in films], inputs.picture)
    readable_films = Readable(films, inputs.film)
    abstention = Abstention(system, min_confidence, located(models))
    for number in range(samples):
        make = partial(system.sounds, seed=seed + number, **draw)

        def stem(name: str, number: int = number) -> Path:
            return free(numbered(name, number, samples), f".{kind}", ".png")

        if seconds is None:
            show(pictures_to_files.write_sounds(make, readable, stem, kind, system.models.audio, abstention.accepts))
        else:
            for path, picture in readable:
                where, accepted = stem(path.stem), partial(abstention.accepts, path)
                blocks = system.sound_blocks(picture, seconds, seed=seed + number, report=where.name, **draw)
                show(pictures_to_files.write_long_sound(blocks, picture, where, kind, system.models, accepted))
        for path, film in readable_films:
            watched, accepts = abstention.watching(path, make)
            where = free(numbered(path.stem, number, samples), *film_writer.FORMATS)
            with readable_films.reading(path):
                show(film_to_files.write_soundtrack(watched, film, where, system.models, mix, accepts))
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
    rounds: Annotated[int, typer.Option(min=1, help="How often there and back.")] = 1,
    seed: Seed = 0,
    rerank: Rerank = 1,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Send a sound or a picture around the cycle.

    Writes every station, and how well label, likelihood and content survived, as one page: NAME.html. A temperature,
    top k, top p or guidance that is given holds there and back.
    """
    from cycle_sound.app import cycle_page, inputs, outputs

    start = inputs.either(file)
    system = opened(models, device)
    sampling = chosen(system, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
    stations = system.cycle(start, rounds, seed=seed, candidates=rerank, sampling=sampling)
    for number, station in enumerate(stations):
        said = ", ".join(f"{name} {text}" for name, text in cycle_page.facts(station).items())
        say(f"{cycle_page.place(number)}: {said}")
    page = cycle_page.cycle(names.printable(file.name), stations, system.models.audio)
    show([outputs.beside(outputs.Names(out, [file]).free(file.stem, ".html"), ".html", page.encode())])


@app.command(
    epilog="""Examples:

\b
  cycle-sound search bell.wav pictures/
  cycle-sound search bell.png recordings/ --top 3
"""
)
def search(
    query: Annotated[Path, typer.Argument(help="A sound or a picture.")],
    folder: Annotated[Path, typer.Argument(help="Of pictures for a sound, of sounds for a picture.", file_okay=False)],
    top: Annotated[int, typer.Option(min=1, help="How many to print.")] = 10,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Rank a folder of pictures for a sound, or of sounds for a picture.

    Prints how much likelier each makes the query, in nats, and its path, the best first.
    """
    from cycle_sound.app import inputs, search
    from cycle_sound.media.sounds import Sound

    asked = inputs.either(query)
    heard = isinstance(asked, Sound)
    files = inputs.listed(folder, "image" if heard else "audio")
    system = opened(models, device)
    readable = Readable[Any](files, inputs.picture if heard else inputs.sound)
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
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder.")],
    license: License = "",
    half: Half = False,
    models: Models = None,
) -> None:
    """Copy the models to one folder, with a model card: usable without the repository, DVC or a network."""
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
    private: Annotated[bool, typer.Option("--private", help="Where it is new: for nobody else to see.")] = False,
    license: License = "",
    half: Half = False,
    models: Models = None,
) -> None:
    """Export the models to the Hugging Face Hub, from where CycleSound.from_pretrained("USER/NAME") reads them."""
    from cycle_sound.inference import hub

    say(hub.upload(name, located(models), license, private, half))


@app.command(
    epilog="""Examples:

\b
  cycle-sound web
  cycle-sound web --models models/ --port 8000
  CYCLE_SOUND_AUTH=ann:secret cycle-sound web --host 0.0.0.0
"""
)
def web(
    host: Annotated[str, typer.Option(help="0.0.0.0 lets the whole network in, with --auth.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    auth: Annotated[
        str | None, typer.Option(envvar="CYCLE_SOUND_AUTH", help="NAME:PASSWORD, which visitors are asked for.")
    ] = None,
    models: Models = None,
    device: Device = "auto",
) -> None:
    """Serve a page to play with: record, draw, photograph; hear, see, go round the cycle. Ctrl-C ends it."""
    try:
        from cycle_sound.app.web import page, server
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MissingPackage(feature="the page", package="Gradio", extra="web") from None
    server.login(host, auth)  # which need not wait for the models
    system = opened(models, device)
    if not system.knows_confidence:
        say("no confidence is shown: none comes with these models")
    blocks = page.page(system, located(models) / "samples")
    say(f"http://{host}:{port}")
    server.serve(blocks, host, port, auth=auth)


def run() -> None:
    """Run the command that is given, and let no interrupt reach what is left to do once it has ended."""
    try:
        app(prog_name="cycle-sound")
    finally:
        interrupts.ignored()


if __name__ == "__main__":
    run()
