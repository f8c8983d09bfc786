"""Every reader of files that are not trusted: small files for it, and what it may say of one that it refuses."""

import bz2
import contextlib
import fnmatch
import gzip
import io
import json
import lzma
import os
import resource
import shutil
import tarfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import av
import films
import mutations
import numpy as np
import soundfile
import tiny
import torch
from PIL import ExifTags, Image
from shared import CASES

from cycle_sound import params, paths
from cycle_sound.acquisition import fingerprints, journal, manifest, summary
from cycle_sound.acquisition.claims import Claims
from cycle_sound.acquisition.fingerprints import Fingerprint
from cycle_sound.acquisition.journal import Finished
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.acquisition.sources import archives, failures, folder, lists, moments, videos
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.failures import Failure
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.moments import Frame
from cycle_sound.dataset import feature_cache, token_cache
from cycle_sound.dataset.feature_cache import FeatureCache
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.tars import Sample
from cycle_sound.dataset.token_cache import Header, TokenCache
from cycle_sound.errors import (
    BadCheckpoint,
    BadConfidence,
    BadFeatures,
    BadFilm,
    BadManifest,
    BadPicture,
    BadSamples,
    BadShard,
    BadSound,
    BadSource,
    BadTokens,
    MissingModality,
    MixedModels,
    NoModels,
    ParamsError,
    StaleCache,
)
from cycle_sound.evaluation import confidence_fit, samples
from cycle_sound.inference import bundle, card, confidence, export
from cycle_sound.inference.confidence import Evidence
from cycle_sound.io import files, names, params_file
from cycle_sound.media import film_writer, images, sound_files, sound_reader
from cycle_sound.media.blocks import windows
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.models import classifier, dvae, features, learned_vocoder, loading, transformer
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn.rng import BatchRng
from cycle_sound.training.resume import Snapshot, State

MAX_COMPLAINTS = 1 << 20  # bytes
SEED, RATE = 7, 16000
DECODER = "project/data/decoder/image/decoder.safetensors"
CODES = CodeShape(codebooks=2, rows=2, columns=4, codebook_size=64)
NAMES = [f"-b_c__d-e_{letter}_0000{second}" for letter in "fgh" for second in (10, 30)]  # of excerpts


class Reader(NamedTuple):
    """What reads some of the files of a kind."""

    files: str  # a pattern of their paths
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]  # that are documented


class Kind(NamedTuple):
    """Files of one kind."""

    sow: Callable[[Path], None]  # writes some into a folder
    readers: Sequence[Reader]


class Outcome(NamedTuple):
    """What became of a spoiled file."""

    said: str  # "accepted", or the class of the refusal
    fault: str  # what no reader may do; "" if none did
    seconds: float
    peak: int  # bytes that the process has held at most, in all its time


# --- one spoiled file


def mutant(kind: str, home: Path, seed: int, number: int) -> tuple[Reader, str, bytes]:
    """A spoiled file of a kind, who reads it, and its path below a folder; the same for the same numbers."""
    random = Random(f"{seed} {kind} {number}")
    reader, whole = random.choice(KINDS[kind].readers), _whole(home / "whole")
    name = random.choice(fnmatch.filter(whole, reader.files))
    content = mutations.spoiled(name, whole[name], random)
    if random.random() < 0.05:  # joined with another file
        other = whole[random.choice(list(whole))]
        content = content[: random.randrange(len(content) + 1)] + other[random.randrange(len(other) + 1) :]
    return reader, name, content


def tried(kind: str, home: Path, seed: int, number: int) -> Outcome:
    """Let a reader read a spoiled file, in its place among whole ones."""
    reader, name, content = mutant(kind, home, seed, number)
    place, output = home / "tried" / name, io.StringIO()
    place.write_bytes(content)
    begin, said, fault = time.monotonic(), "accepted", ""
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            reader.read(place)
    except reader.refusals as error:
        said = type(error).__name__
    except BaseException:
        said, fault = "fault", traceback.format_exc()
    seconds = time.monotonic() - begin
    place.write_bytes(_whole(home / "whole")[name])
    fault += _dropped(output.getvalue() + _complaints())
    lines = output.getvalue().split("\n")
    fault += "".join(f"prints {line!r}" for line in lines if names.printable(line) != line)
    return Outcome(said, fault, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def prepare(kind: str, home: Path, most: int) -> None:
    """What a process that tries files does first: read whole ones, and take no more memory than `most` from then on."""
    shutil.rmtree(home / "tried", ignore_errors=True)
    shutil.copytree(home / "whole", home / "tried")
    torch.set_num_threads(1)
    # Where libraries in C complain, and Python tells of exceptions that they cannot pass on.
    os.dup2(os.open(home / "stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND), 2)
    with contextlib.redirect_stdout(io.StringIO()):
        for reader in KINDS[kind].readers:
            for name in fnmatch.filter(_whole(home / "whole"), reader.files):
                reader.read(home / "tried" / name)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + most, used + most))


def _complaints() -> str:
    """What was written to file descriptor 2 since the last call."""
    said = os.pread(2, MAX_COMPLAINTS, 0).decode(errors="replace")
    os.ftruncate(2, 0)
    return said


def _dropped(said: str) -> str:
    """From what was printed, the first traceback, of an exception that went nowhere; "" if there is none."""
    _, begin, rest = said.partition("Traceback (most recent call last)")
    return f"prints {begin}{rest[:1000]}" if begin else ""


@lru_cache
def _whole(folder: Path) -> dict[str, bytes]:
    """The files below a folder that are no folders, by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _given(into: Path, *endings: str) -> None:
    """Copy what is there of the cases given beside the project, unless it is large."""
    for path in sorted(CASES.glob("*")):
        if path.suffix in endings and path.stat().st_size < 200_000:
            shutil.copy(path, into)


# --- pictures


def _pictures(into: Path) -> None:
    pixels = np.random.default_rng(SEED).integers(0, 256, (5, 6, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.ImageDescription] = 6, "a picture"
    grey, clear = picture.convert("L"), picture.convert("RGBA")
    clear.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.jpg": (picture, {}),
        "progressive.jpg": (picture, {"progressive": True, "exif": exif, "comment": "text"}),
        "cmyk.jpg": (picture.convert("CMYK"), {"restart_marker_blocks": 2}),
        "grey.jpg": (grey, {"exif": exif}),
        "exif.png": (picture, {"exif": exif, "icc_profile": b"none"}),
        "clear.png": (clear, {}),
        "palette.png": (picture.quantize(16), {"transparency": 3}),
        "deep.png": (deep, {}),
        "moving.png": (picture, {"save_all": True, "append_images": [grey.convert("RGB")]}),
        "lossy.webp": (picture, {"exif": exif}),
        "lossless.webp": (clear, {"lossless": True}),
        "moving.webp": (picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        "plain.gif": (picture.quantize(16), {}),
        "moving.gif": (picture, {"save_all": True, "append_images": [picture.rotate(90)], "transparency": 0}),
        "plain.bmp": (picture, {}),
        "palette.bmp": (picture.quantize(16), {}),
    }
    for name, (form, options) in forms.items():
        form.save(into / name, **options)
    _given(into, ".png", ".jpg")


def _picture(path: Path) -> None:
    content = path.read_bytes()
    images.to_array(images.open_picture(content), 32)
    images.to_array(images.open_picture(content, 8), 8)  # a JPEG at a quarter of its size
    images.as_jpeg(content)


# --- sounds


def _sounds(into: Path) -> None:
    times = np.arange(RATE // 4) / RATE
    wave = np.stack([0.5 * np.sin(2 * np.pi * pitch * times) for pitch in (440, 700)], 1)
    forms = {
        "pcm.wav": ("WAV", "PCM_16"),
        "float.wav": ("WAV", "FLOAT"),
        "adpcm.wav": ("WAV", "MS_ADPCM"),
        "extensible.wav": ("WAVEX", "PCM_24"),
        "plain.flac": ("FLAC", "PCM_16"),
        "plain.mp3": ("MP3", "MPEG_LAYER_III"),
        "vorbis.ogg": ("OGG", "VORBIS"),
        "plain.opus": ("OGG", "OPUS"),
        "plain.aiff": ("AIFF", "PCM_16"),
    }
    for name, (form, subtype) in forms.items():
        soundfile.write(into / name, wave, RATE, format=form, subtype=subtype)
    for name, form, codec in (
        ("plain.m4a", "ipod", "aac"),
        ("lossless.m4a", "ipod", "alac"),
        ("plain.aac", "adts", "aac"),
        ("plain.wma", "asf", "wmav2"),
        ("plain.oga", "ogg", "flac"),
        ("junk.mp3", "mp3", "libmp3lame"),
        ("plain.mka", "matroska", "libopus"),
    ):
        with av.open(str(into / name), "w", format=form) as container:
            stream = container.add_stream(codec, rate=RATE, layout="stereo")
            stream.bit_rate = 64_000
            films.mux(container, stream, films.heard(wave.T))
    junk = into / "junk.mp3"
    junk.write_bytes(b"\0" * 9 + junk.read_bytes())
    amr = b"#!AMR\n" + (b"\x3c" + np.random.default_rng(SEED).bytes(31)) * 12
    (into / "plain.amr").write_bytes(amr)
    _given(into, ".mp3", ".flac")


def _sound(path: Path) -> None:
    content = path.read_bytes()
    sound_files.encode_mp3(*sound_files.decode(content))


def _part_of_sound(path: Path) -> None:
    wave, rate = sound_files.decode(path.read_bytes(), seconds=0.1)
    fingerprints.of(Image.new("RGB", (9, 9)), (wave, rate))


# --- films


def _films(into: Path) -> None:
    times = films.evenly(0, 0.6)
    for name, codec in (
        ("film.mp4", "libx264"),
        ("film.mkv", "libx264"),
        ("film.webm", "libvpx"),
        ("film.ts", "mpeg2video"),
        ("film.mpg", "mpeg2video"),
        ("film.avi", "mpeg4"),
        ("film.mov", "mpeg4"),
        ("film.flv", "libx264"),
    ):
        films.telling_film(into / name, times, (0.05, 0.6), codec, gop=4, ticks=25 if codec != "libx264" else 1000)
    _given(into, ".mkv")


def _film(path: Path) -> None:
    with contextlib.suppress(Rejected):
        videos.check(path)
    videos.cut(Film(path), 0.5, clip_seconds=0.3, min_seconds=0.05, still_difference=0.0, lone=False)


def _frame(path: Path) -> None:
    videos.cut(Film(path), Frame(2), clip_seconds=0.3, min_seconds=0.05, still_difference=0.0, lone=False)


def _streamed_sound(path: Path) -> None:
    sound_reader.seconds(path)
    for window in islice(windows(sound_reader.blocks(path), 0.1), 100):
        assert window.waveform.size


def _streamed_film(path: Path) -> None:
    film = FilmReader(path)
    times = np.arange(0, min(film.seconds, 1.0), 0.2)
    assert len(list(film.pictures(times, 16))) == len(times)
    heard = islice(film.sound(film_writer.AUDIO_RATE), 100)
    film_writer.write_soundtrack(path.with_name("soundtrack"), film, heard)


# --- archives


def _archives(into: Path) -> None:
    _shards(into / "shards")
    _shards(into / "shards of jpeg", 90)
    for form, ending, packing in (
        (tarfile.USTAR_FORMAT, ".tar", None),
        (tarfile.GNU_FORMAT, ".tar", None),
        (tarfile.PAX_FORMAT, ".tar.gz", gzip),
        (tarfile.PAX_FORMAT, ".tar.bz2", bz2),
        (tarfile.PAX_FORMAT, ".tar.xz", lzma),
    ):
        place = into / f"store {form}{ending}"
        place.mkdir()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            long = "" if form == tarfile.USTAR_FORMAT else "long" * 30
            for number, name in enumerate(NAMES):
                member = tarfile.TarInfo(f"videos{long if number == 1 else ''}/{name}.mp4")
                member.size = 700 * number
                member.pax_headers = {"comment": "a clip", "size": str(member.size)} if ending != ".tar" else {}
                tar.addfile(member, io.BytesIO(bytes([65 + number]) * member.size))
            link = tarfile.TarInfo(f"{NAMES[0][:-2]}50.mp4")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        content = buffer.getvalue()
        (place / f"clips{ending}").write_bytes(mutations.packed(packing, content) if packing else content)


def _shards(into: Path, jpeg_quality: int = 0) -> None:
    pairs = [
        Sample(
            np.full((3, 8, 8), number, np.uint8),
            np.zeros((1, 8, 8), np.float16),
            {"id": f"clip {number}", "label": "bell", "group": "", "attributes": {"pitch": 0.5}},
        )
        for number in range(3)
    ]
    tiny.sharded(into, jpeg_quality, train=[pairs[:2], pairs[2:]])


def _archive(path: Path) -> None:
    archives._kept.cache_clear()  # its file is another one now
    for video in archives.find(path.parent).values():
        if isinstance(content := video.load().content, Rejected):
            raise content


def _shard(path: Path) -> None:
    split = Split(path.parent, "train")
    list(split.ids), list(split.labels), list(split.attributes)
    split.known_labels(), split.labelled({"bell"})
    if len(split):
        split.shape("image")
        split.pictures("audio", range(len(split)))


# --- checkpoints


def _checkpoints(into: Path) -> None:
    project = into / "project"
    project.mkdir()
    tiny.untrained(project)
    model, _ = dvae.load(paths.vae("image", project / "data"))
    dvae.save_decoder(into / DECODER, model.decoder, paths.vae("image", project / "data"))
    random = np.random.default_rng(SEED)
    pictures = torch.from_numpy(random.random((2, 3, 8, 8), np.float32))
    mels = torch.from_numpy(random.random((2, 1, 8, 8), np.float32))
    made = samples.Samples(
        *("audio_to_image", mels, pictures, mels, pictures, pictures),
        pointwise_mutual_information=torch.zeros(2),
        ids=["one", "two"],
        labels=["bell", ""],
    )
    samples.save(into / "samples/all.safetensors", made)
    tensors = {"model": {"weight": torch.ones(3, 4)}, "optimizer": {"step": torch.tensor(3)}}
    Snapshot(into / "snapshot/state.safetensors", "identity").save(State(3, [{"step": 3, "loss": 0.5}], tensors))
    codes = random.integers(64, size=(5, 3, CODES.codebooks, CODES.places, 2))
    header = Header("a" * 64, "b" * 64, CODES, 5)
    layouts = token_cache.arrays(header, 3, 2)
    tiny.write_cache(into / "tokens", "train", header, layouts, codes=codes, probabilities=np.full(codes.shape, 0.4))
    with tiny.small_networks():
        network = features.FeatureNetwork("resnet18")
    features.save(into / "features/network.safetensors", network)
    seen = feature_cache.Header("a" * 64, "b" * 64, features.FeatureShape(8, 4, 4), 5)
    layouts = feature_cache.arrays(seen, 2)
    values = random.random((5, 2, 8, 4, 4), np.float32)
    tiny.write_cache(into / "features", "train", seen, layouts, features=values)


def _decoder(path: Path) -> None:
    dvae.load(path.parents[2] / "vae/image.safetensors", path)


def _vocoder(path: Path) -> None:
    learned_vocoder.load(path, params.parse(tiny.tree()).audio)


def _snapshot(path: Path) -> None:
    Snapshot(path, "identity").load()


def _tokens(path: Path) -> None:
    cache = TokenCache(path.parent, "train", "a" * 64, "b" * 64)
    rows = torch.arange(len(cache))
    cache.most_likely(rows)
    cache.draw(rows, BatchRng(SEED, places=range(len(rows))))


def _network(path: Path) -> None:
    with tiny.small_networks():
        features.load(path)


def _features(path: Path) -> None:
    cache = FeatureCache(path.parent, "train", "a" * 64, "b" * 64)
    rows = torch.arange(len(cache))
    cache.plain(rows)
    cache.draw(rows, BatchRng(SEED, places=range(len(rows))))


# --- folders of models, and their cards


def _cards(into: Path) -> None:
    project = into / "project"
    project.mkdir()
    data = tiny.untrained(project)
    _regressions(data)
    export.export(data, into / "exported")


def _regressions(data: Path) -> None:
    evidence = Evidence(*np.random.default_rng(SEED).normal(size=(len(Evidence._fields), 9)))
    familiarity = confidence_fit.fit_familiarity(np.exp(evidence.source_error), 0.05)
    right, drawn = evidence.alignment > 0, np.ones(len(evidence.alignment), bool)
    fitted = confidence_fit.fit(evidence, right, drawn, familiarity, 1.0, confidence.digests(data))
    for direction in params.DIRECTIONS:
        confidence.save(paths.confidence(direction, data), fitted)


def _regression(path: Path) -> None:
    read = confidence.read(path)
    if read is not None:
        assert 0 <= read.of(Evidence(*np.full((len(Evidence._fields), 1), 1e3)))[0] <= 1


def _card(path: Path) -> None:
    described = card.read(path.parent)
    export.readme(described.model_copy(update={"models": _models(path.parent)}))


def _model(path: Path) -> None:
    """A model that its card describes."""
    folder = path.parents[1]
    described = folder / card.NAME
    before = described.read_text()
    tree = json.loads(before)
    tree["models"][str(path.relative_to(folder))]["sha256"] = files.digest(path)
    described.write_text(json.dumps(tree))
    try:
        vocoder = card.read(folder).vocoder
        bundle.load(folder, vocoder, torch.device("cpu"))
        export._described(folder, vocoder)
    finally:
        described.write_text(before)


@lru_cache
def _models(folder: Path) -> dict[str, Any]:
    return export._described(folder, card.read(folder).vocoder)


# --- headers and lists


def _headers(into: Path) -> None:
    for name in ("raw", "folder/train_data", "videos", "store", "presets"):
        (into / name).mkdir(parents=True)
    tiny.write(into)
    shutil.copy(tiny.ROOT / "presets/tiny.yaml", into / "presets")
    bits = Fingerprint(bytes(18), bytes(32))
    rows = [
        Row("one", "train", "bell", "g", "ok", "", {"pitch": 0.5}, "a" * 64, "b" * 64),
        Row("two", "train", "bärenfell", "g", "ok", "", {}, "c" * 64, "d" * 64),
        Row("three", "test", "", "h", "too_short", "0.1 s of sound"),
    ]
    lines = [b'{"key": "key"}\n'] + [journal._line(Finished(row, bits if row.status == "ok" else None)) for row in rows]
    (into / "download.jsonl").write_bytes(b"".join(lines))
    manifest.write(into / "raw/manifest.csv", rows)
    (into / "raw/.claimed").write_text(f"train_data/one\t{'a' * 64} {'b' * 64}\ntest_data/three\t\n")
    for number, reason in enumerate(("Private video", "This video is unavailable")):
        failures.note(into / "store", f"https://example.org/{number}", Failure("gone", "unavailable", reason), "here")
    failures.note(into / "store", "https://example.org/9", Failure("unfit", "unavailable", "no format"), "here")
    (into / "four.csv").write_text('---g-f_I2yQ,1,people marching,test\n-Qowmc0P9ic,034,"chirping, tweeting",train\n')
    (into / "two.csv").write_text('-Qowmc0P9ic_000034.mp4,"chirping, tweeting"\n---g-f_I2yQ_000001.mp4,bärenfell\n')
    (into / "folder/train_data/one.jpg").write_bytes(b"")
    (into / "folder/labels.csv").write_text('id,split,label,group\none,train,bell,g\ntwo,test,"a, b",\n')
    (into / "videos/one.mp4").write_bytes(b"")
    (into / "videos/list.csv").write_text('one.mp4,bell\ntwo.mp4,"a, b"\n')
    frames = [{"-b_c__d-e_f_30000_40000": [0, 5, 9]}, {"-b_c__d-e_g_0_10000": [1]}]
    (into / "moments.json").write_text(json.dumps(frames))
    _shards(into / "shards")
    codes = np.zeros((2, 1, CODES.codebooks, CODES.places, 1))
    header = Header("a" * 64, "b" * 64, CODES, 2)
    tiny.write_cache(into / "tokens", "train", header, token_cache.arrays(header, 1, 1), codes=codes)


def _manifest(path: Path) -> None:
    rows = manifest.read(path)
    manifest.summary(rows)
    manifest.split_digest(rows)
    for line in summary.lines(rows, {}):
        print(names.printable(line))
    again = path.with_name("again.csv")
    manifest.write(again, rows)
    assert manifest.split_digest(manifest.read(again)) == manifest.split_digest(rows)


def _preset(path: Path) -> object:
    return params_file.with_preset(params_file.load(tiny.ROOT / "params.yaml"), path.stem, path.parent)


def _journal(path: Path) -> None:
    with contextlib.suppress(EOFError), journal.keeping(path, "key") as past:
        for one in past.finished.values():
            json.dumps(asdict(one.row))
        raise EOFError  # stopped, so that it stays


def _claims(path: Path) -> None:
    own = path.with_name(".claimed")
    before = own.read_bytes()
    try:
        claimed = Claims(path.parent)
        claimed.unknown([Original("train", "one", "a" * 64, "b" * 64)])
        claimed.begin({"train_data/new"})
    finally:
        own.write_bytes(before)


def _gone(path: Path) -> None:
    for failure in failures.known(path.parent, "here").values():
        names.one_line(failure.reason).encode()


def _listed(path: Path) -> None:
    for split in (None, "train"):
        lists.read(path, split)


def _labelled(path: Path, source: str) -> None:
    given = folder if source == "folder" else videos
    own = getattr(_settings(), source).model_copy(update={"path": str(path.parent), "labels": str(path)})
    for clip in given.clips(_settings().model_copy(update={source: own})):
        names.printable(f"{clip.id} {clip.label} {clip.group}").encode()


@lru_cache
def _settings() -> params.DataConfig:
    return params.parse(tiny.tree()).data


SHARD = (BadShard, MissingModality)
FILM = (Rejected, BadSound, av.FFmpegError)
CHECKPOINT = (BadCheckpoint,)
MODELS = (NoModels, ParamsError, BadCheckpoint, MixedModels)
TOKENS = (BadTokens, StaleCache)
FEATURES = (BadFeatures, StaleCache)
KINDS: dict[str, Kind] = {
    "pictures": Kind(_pictures, [Reader("*", _picture, (BadPicture,))]),
    "sounds": Kind(_sounds, [Reader("*", _sound, (BadSound,)), Reader("*", _part_of_sound, (BadSound,))]),
    "films": Kind(_films, [Reader("*", _film, FILM), Reader("*", _frame, FILM)]),
    "streamed sounds": Kind(_sounds, [Reader("*", _streamed_sound, (BadSound,))]),
    "streamed films": Kind(_films, [Reader("*", _streamed_film, (BadFilm, BadSound))]),
    "archives": Kind(
        _archives,
        [Reader("store*", _archive, (BadSource, Rejected)), Reader("shards*", _shard, SHARD)],
    ),
    "checkpoints": Kind(
        _checkpoints,
        [
            Reader("project/data/vae/*", partial(loading.load_tokenizer, device=torch.device("cpu")), CHECKPOINT),
            Reader(DECODER, _decoder, (*CHECKPOINT, MixedModels)),
            Reader("project/data/vocoder/*", _vocoder, CHECKPOINT),
            Reader("project/data/classifier/*", classifier.load, CHECKPOINT),
            Reader("project/data/cycle/*", transformer.load, CHECKPOINT),
            Reader("samples/*", samples.load, (BadSamples,)),
            Reader("snapshot/*", _snapshot, ()),
            Reader("tokens/*", _tokens, TOKENS),
            Reader("features/network*", _network, CHECKPOINT),
            Reader("features/train*", _features, FEATURES),
        ],
    ),
    "cards": Kind(
        _cards,
        [
            *[Reader("exported/card.json", _card, MODELS)] * 8,  # more often than whole folders, which take long
            *[Reader("project/metrics/*", partial(card._parsed, schema=card.Figures), MODELS)] * 3,
            *[Reader("project/data/confidence/*", _regression, (BadConfidence,))] * 3,
            Reader("exported/*.safetensors", _model, MODELS),
        ],
    ),
    "headers": Kind(
        _headers,
        [
            Reader("params.yaml", params_file.load, (ParamsError,)),
            Reader("presets/tiny.yaml", _preset, (ParamsError,)),
            Reader("download.jsonl", _journal, ()),
            Reader("raw/manifest.csv", _manifest, (BadManifest,)),
            Reader("raw/*", _claims, (BadSource,)),
            Reader("store/gone.jsonl", _gone, ()),
            Reader("????.csv", _listed, (BadSource,)),
            Reader("two.csv", _listed, (BadSource,)),
            Reader("folder/labels.csv", partial(_labelled, source="folder"), (BadSource,)),
            Reader("videos/list.csv", partial(_labelled, source="videos"), (BadSource,)),
            Reader("moments.json", moments.listed, (BadSource,)),
            *[Reader("shards/*", _shard, SHARD)] * 3,
            Reader("tokens/train.json", _tokens, TOKENS),
        ],
    ),
}
