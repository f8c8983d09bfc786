"""`CycleSound` in the hands of others: whatever is given, the right result or one error that says what is wanted."""

import ast
import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import evenly, telling_film
from PIL import Image

import cycle_sound
from cycle_sound.errors import (
    BadDraw,
    BadPicture,
    BadSound,
    BadSteering,
    BadTarget,
    NoDevice,
    NoModels,
    UserError,
    WrongModality,
)
from cycle_sound.inference import continuation
from cycle_sound.inference.system import CycleSound
from cycle_sound.media import mel
from cycle_sound.media.sound_files import LOUDEST
from cycle_sound.media.sound_writer import encoded
from cycle_sound.media.sounds import Sound
from cycle_sound.params import MAX_CANDIDATES, SamplingConfig

RATE = 16000
STEPS = np.repeat(np.random.default_rng(0).integers(-4, 5, 600) / 8, 40).astype(np.float32)  # which bfloat16 holds
TONE = Sound(STEPS, RATE)
BLOCKS = np.random.default_rng(0).integers(0, 2, (8, 8), np.uint8).repeat(8, 0).repeat(8, 1) * 255  # black and white
PICTURE = Image.fromarray(BLOCKS).convert("RGB")
OTHER = PICTURE.rotate(90)


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


# --- names


def test_what_the_package_offers_is_there_described_and_seen_by_type_checkers() -> None:
    tree = ast.parse(Path(cycle_sound.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == cycle_sound.MODULES
    assert sorted(seen) == cycle_sound.__all__
    for name in cycle_sound.__all__:
        assert getattr(cycle_sound, name).__module__ == seen[name]
        assert inspect.getdoc(getattr(cycle_sound, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cycle_sound.nothing


def test_the_package_is_imported_without_what_it_offers_and_files_are_read_without_torch() -> None:
    program = "import sys, cycle_sound; print({'torch', 'numpy', 'PIL', 'pydantic'} & sys.modules.keys())"
    reading = "; cycle_sound.read_sound, cycle_sound.read_picture, cycle_sound.Sound; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program + reading], capture_output=True, check=True, text=True)
    assert said.stdout == "set()\nFalse\n"


def test_files_are_read_by_their_names_also_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tone.wav").write_bytes(encoded(TONE, "wav"))
    PICTURE.save(tmp_path / "picture.png")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for place in (tmp_path, str(tmp_path), "~"):
        heard = cycle_sound.read_sound(Path(place) / "tone.wav")
        assert (len(heard.waveform), heard.sample_rate) == (len(STEPS), RATE)
        assert cycle_sound.read_picture(f"{place}/picture.png").tobytes() == PICTURE.tobytes()
    assert cycle_sound.read_sound("~/tone.wav", 0.5).seconds == pytest.approx(0.5, abs=0.1)
    for read in (cycle_sound.read_sound, cycle_sound.read_picture):
        with pytest.raises(cycle_sound.UserError, match="nothing: no such file"):
            read(tmp_path / "nothing")


def test_the_engine_takes_what_a_sound_or_a_picture_is_preprocessed_to(system: CycleSound) -> None:
    audio = system.models.audio
    seen = mel.of_clip(*TONE, audio, system.seconds)
    assert torch.equal(system.preprocess(TONE), torch.from_numpy(seen).float()[None])
    assert system.preprocess(PICTURE).shape == (1, 3, system.size, system.size)
    for modality, thing in (("audio", TONE), ("image", PICTURE)):
        assert len(system.engine.encode(modality, system.preprocess(thing))) == 1
    with pytest.raises(WrongModality):
        system.preprocess("bell.wav")  # type: ignore[arg-type]


# --- sources


@pytest.mark.parametrize(
    "form",
    [
        lambda wave: wave.astype(np.float64),
        lambda wave: wave.astype(np.float16),
        lambda wave: wave.astype(">f4"),
        lambda wave: np.repeat(wave, 2)[::2],
        lambda wave: wave.tolist(),
        torch.from_numpy,
        lambda wave: torch.from_numpy(wave).bfloat16(),
        lambda wave: torch.from_numpy(wave).double().requires_grad_(),
    ],
)
def test_a_waveform_is_the_same_in_any_floating_form(form: Callable[[np.ndarray], Any], system: CycleSound) -> None:
    given = form(STEPS)
    assert torch.equal(system._pictures([Sound(given, RATE)]), system._pictures([TONE]))
    assert system.score(Sound(given, np.float64(RATE)), PICTURE) == system.score(TONE, PICTURE)


@pytest.mark.parametrize(
    "waveform",
    [
        None,
        "bell.wav",
        [],
        [[0.0], [0.0, 1.0]],
        STEPS[None],
        STEPS[:, None],
        STEPS.astype(np.int32),
        STEPS.astype(np.complex64),
        STEPS > 0,
        torch.zeros(100, dtype=torch.int64),
        torch.zeros(100, device="meta"),
        np.full(100, np.inf),
        np.full(100, 1e300),
        np.full(100, 2 * LOUDEST),
        PICTURE,
    ],
)
def test_what_is_no_waveform_is_a_bad_sound(waveform: Any, system: CycleSound) -> None:
    with pytest.raises(BadSound):
        system.image(waveform, RATE)


@pytest.mark.parametrize("rate", [None, "16000", 0, -1, 1e9, 16000.5, float("nan"), np.full(2, RATE)], ids=repr)
def test_what_is_no_rate_is_a_bad_sound(rate: Any, system: CycleSound) -> None:
    with pytest.raises(BadSound, match="Hz: outside"):
        system.image(STEPS, rate)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"])
def test_a_picture_is_the_same_in_any_mode(mode: str, system: CycleSound) -> None:
    before = {"LA": "L", "PA": "P", "RGBa": "RGBA"}.get(mode, "RGB")  # from which Pillow converts to it
    given = PICTURE.convert(before).convert(mode)
    assert given.mode == mode
    assert torch.equal(system._pictures([given]), system._pictures([PICTURE]))


def test_of_16_bits_of_grey_the_upper_8_are_seen(system: CycleSound) -> None:
    deep = Image.fromarray(BLOCKS.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert torch.equal(system._pictures([deep]), system._pictures([PICTURE]))


def test_what_is_transparent_is_white(system: CycleSound) -> None:
    seen = PICTURE.convert("RGBA")
    seen.putalpha(Image.fromarray(255 - BLOCKS))  # black is opaque, white is not
    for hidden in ("red", "black"):
        layer = Image.new("RGBA", seen.size, hidden)
        layer.putalpha(0)
        layer.alpha_composite(seen)
        assert torch.equal(system._pictures([layer]), system._pictures([PICTURE]))


def broken(folder: Path) -> Image.Image:
    """A picture of which the header can be read, and no more."""
    PICTURE.resize((256, 256)).save(folder / "whole.png")
    content = (folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(content[: len(content) // 2])
    return Image.open(folder / "half.png")


def test_what_cannot_be_seen_is_a_bad_picture(system: CycleSound, tmp_path: Path) -> None:
    rangeless = [Image.fromarray(BLOCKS.astype(kind)) for kind in (np.int32, np.float32)]
    for picture in (*rangeless, Image.new("RGB", (0, 8)), broken(tmp_path)):
        with pytest.raises(BadPicture):
            system.sound(picture)


@pytest.mark.parametrize(
    "ask",
    [
        lambda cs: cs.images(TONE),
        lambda cs: cs.images(None),
        lambda cs: cs.images(0),
        lambda cs: cs.images("bell.wav"),
        lambda cs: cs.images(np.zeros((2, 100), np.float32)),
        lambda cs: cs.images([PICTURE]),
        lambda cs: cs.images([STEPS]),
        lambda cs: cs.images([TONE, None]),
        lambda cs: cs.sounds(PICTURE),
        lambda cs: cs.sounds([TONE]),
        lambda cs: cs.sounds(["bell.png"]),
        lambda cs: cs.sound("bell.png"),
        lambda cs: cs.sound(Path("bell.png")),
        lambda cs: cs.sound(BLOCKS),
        lambda cs: cs.sound(TONE),
        lambda cs: cs.sound_blocks(BLOCKS, 4),
        lambda cs: cs.score(TONE, TONE),
        lambda cs: cs.score(PICTURE, OTHER),
        lambda cs: cs.score(STEPS, PICTURE),
        lambda cs: cs.scores([], [PICTURE]),
        lambda cs: cs.scores([TONE], []),
        lambda cs: cs.scores([TONE, TONE], [PICTURE]),
        lambda cs: cs.scores([TONE, PICTURE], [PICTURE, TONE]),
        lambda cs: cs.confidence(TONE, TONE),
        lambda cs: cs.confidences([None], [None]),
        lambda cs: cs.cycle("bell.wav"),
        lambda cs: cs.cycle(STEPS),
        lambda cs: cs.describe(PICTURE, TONE, PICTURE),
        lambda cs: cs.describe(None, TONE),
    ],
)
def test_what_is_neither_a_sound_nor_a_picture_where_it_should_be_is_said(
    ask: Callable[[CycleSound], Any], system: CycleSound
) -> None:
    with pytest.raises(WrongModality, match="expected") as refused:
        ask(system)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda cs: cs.images(TONE), "a list of Sounds, not a Sound"),
        (lambda cs: cs.sounds(TONE), "a list of PIL images, not a Sound"),
        (lambda cs: cs.sounds(PICTURE), "a list of PIL images, not Image"),
        (lambda cs: cs.scores(TONE, PICTURE), "a list of PIL images or Sounds, not a Sound"),
        (lambda cs: cs.familiarities(TONE), "a list of PIL images or Sounds, not a Sound"),
    ],
)
def test_one_thing_in_place_of_a_list_is_said(ask: Callable[[CycleSound], Any], said: str, system: CycleSound) -> None:
    with pytest.raises(WrongModality, match=f"^expected {said}$"):
        ask(system)


def test_sources_may_come_one_after_another(system: CycleSound) -> None:
    assert [one.tobytes() for one in system.images(one for one in (TONE, TONE))] == [
        one.tobytes() for one in system.images([TONE, TONE])
    ]


# --- how to draw


def test_one_seed_is_the_same_in_any_integer_type(system: CycleSound) -> None:
    wanted = system.image(*TONE, seed=(1 << 31) - 1).tobytes()
    for kind in (np.int64, np.uint32, torch.tensor):
        assert system.image(*TONE, seed=kind((1 << 31) - 1)).tobytes() == wanted
    assert system.image(*TONE, seed=1 << 100).size == (system.size, system.size)


@pytest.mark.parametrize(
    "how",
    [
        *({"seed": seed} for seed in (-1, 1.0, "1", None, [1], float("nan"))),
        *({"candidates": count} for count in (0, -1, 1.5, "2", MAX_CANDIDATES + 1, 10**30)),
        *({"sampling": other} for other in ("greedy", {"temperature": 0.0}, 0, ())),
        *({"seconds": length} for length in (0, -1, "4", float("nan"), float("inf"), 1e-9, 1e9)),
        *({"rounds": count} for count in (-1, 1.5, "2", None)),
    ],
    ids=repr,
)
def test_what_is_no_way_to_draw_is_said(how: dict[str, Any], system: CycleSound) -> None:
    asked = {
        "seconds": [
            lambda: system.sound(PICTURE, **how),
            lambda: system.sounds([], **how),
            lambda: system.sound_blocks(PICTURE, **how),
        ],
        "rounds": [lambda: system.cycle(TONE, **how)],
    }.get(next(iter(how)), [lambda: system.image(*TONE, **how), lambda: system.cycle(PICTURE, **how)])
    for ask in asked:
        with pytest.raises(BadDraw):
            ask()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("temperature", "guidance", "top_p", "top_k")
            for value in (np.nan, np.inf, -1, 1e30)
        ),
        ("temperature", 1e-30),
        ("top_p", 0.0),
        ("top_k", 1.5),
    ],
)
def test_a_sampling_that_was_changed_unchecked_is_checked(name: str, value: float, system: CycleSound) -> None:
    changed = system.sampling.audio_to_image.model_copy(update={name: value})
    with pytest.raises(BadDraw, match=f"sampling: {name}"):
        system.image(*TONE, sampling=changed)
    with pytest.raises(ValueError, match=name):
        SamplingConfig(**dict(changed))


def test_the_wrong_sort_of_sampling_is_said(system: CycleSound) -> None:
    with pytest.raises(BadDraw, match="expected SamplingConfig, not SamplingConfigs"):
        system.image(*TONE, sampling=system.sampling)  # type: ignore[arg-type]
    with pytest.raises(BadDraw, match="expected SamplingConfigs, not SamplingConfig"):
        system.cycle(TONE, sampling=system.sampling.audio_to_image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "blend",
    [
        *(TONE.waveform, TONE, (), (TONE,), 0.5, "", (TONE, 2, 3)),
        *((TONE, share) for share in ("0.5", None, 1.5, np.nan, Fraction(3, 2), np.array([0.5]), np.array([2.0]))),
    ],
)
def test_what_is_no_mixture_is_said(blend: Any, system: CycleSound) -> None:
    with pytest.raises(BadSteering, match="blend"):
        system.image(*TONE, blend=blend)


def test_nothing_of_a_cycle_is_its_start_alone(system: CycleSound) -> None:
    (start,) = system.cycle(TONE, 0)
    assert start.thing is TONE


# --- where it runs


def test_calls_from_several_threads_make_what_each_makes_alone(system: CycleSound) -> None:
    def made(number: int) -> bytes:
        if number == 3:
            return system.sound(PICTURE, seconds=2).waveform.tobytes()
        tone = TONE._replace(waveform=np.roll(STEPS, 1000 * number))
        return system.image(*tone, seed=number, unlike=TONE if number else None).tobytes()

    alone = [made(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(made, range(4))) == alone


def test_a_long_sound_lets_others_draw_between_its_blocks(system: CycleSound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuation, "STRETCH", 2)
    blocks = system.sound_blocks(PICTURE, 30)
    next(blocks)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(system.image, *TONE).result(300).size == (system.size, system.size)


def test_a_callback_comes_before_each_window_and_may_end_the_work(system: CycleSound) -> None:
    class Enough(Exception):
        pass

    called: list[int] = []

    def callback() -> None:
        called.append(1)
        if len(called) == 3:
            raise Enough

    with pytest.raises(Enough):
        system.sounds([PICTURE], seconds=20, callback=callback)
    assert len(called) == 3
    with ThreadPoolExecutor(1) as pool:  # nothing is left locked
        assert pool.submit(system.image, *TONE).result(300).size == (system.size, system.size)


def test_a_deep_copy_makes_the_same_of_models_of_its_own(system: CycleSound) -> None:
    system.image(*TONE)
    again = copy.deepcopy(system)
    assert again.image(*TONE).tobytes() == system.image(*TONE).tobytes()
    own = {id(one) for one in system.models.transformers.values()}
    assert not own & {id(one) for one in again.models.transformers.values()}
    assert again.knows_confidence == system.knows_confidence


def test_what_is_pickled_makes_the_same(system: CycleSound) -> None:
    system.image(*TONE)
    again = pickle.loads(pickle.dumps(system))
    assert everything(again) == everything(system)
    assert again.sampling == system.sampling


class Own(CycleSound):
    """A class of a user's own."""


def test_what_is_pickled_is_of_its_own_class(system: CycleSound) -> None:
    own = Own(system.models, system.sampling)
    for again in (pickle.loads(pickle.dumps(own)), copy.copy(own)):
        assert type(again) is Own
        assert again.sampling == own.sampling


def everything(system: CycleSound) -> list[Any]:
    """What both directions make and say."""
    sounds = [block.waveform.tobytes() for block in system.sound_blocks(PICTURE, 0.5)]
    return [system.image(*TONE).tobytes(), sounds, system.describe(PICTURE, TONE, TONE)._replace(thing=TONE)]


@pytest.fixture(scope="module")
def alone(system: CycleSound) -> list[Any]:
    return everything(system)


@pytest.mark.parametrize("around", [lambda: torch.autocast("cpu", torch.bfloat16), lambda: torch.device("meta")])
def test_what_surrounds_a_call_changes_nothing(
    around: Callable[[], AbstractContextManager[Any]], alone: list[Any], data: Path
) -> None:
    with around():
        assert everything(CycleSound.load(data, "cpu")) == alone


@pytest.mark.parametrize("where", ["nonsense", "cuda:99", "meta", "", 3.5, "hpu", "privateuseone"])
def test_a_device_that_there_is_not_is_one_line(where: Any, data: Path) -> None:
    with pytest.raises(NoDevice) as refused:
        CycleSound.load(data, where)
    assert "\n" not in str(refused.value)


# --- files


def test_a_path_is_a_str_or_a_path_and_knows_the_home(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(data.parent)
    monkeypatch.setenv("HOME", str(home))
    wanted = CycleSound.load(str(data), "cpu").seconds
    assert CycleSound.load("~/models/data", "cpu").seconds == wanted
    assert CycleSound.from_pretrained(Path("~/models/data"), device="cpu").seconds == wanted
    for nothing in ("~/nothing", "~nobody/models", "a\0b", "", data / "vae/image.safetensors"):
        with pytest.raises(NoModels):
            CycleSound.load(nothing)


def test_what_is_read_is_never_written_over(system: CycleSound, tmp_path: Path) -> None:
    film = telling_film(tmp_path / "film.mp4", evenly(0, 2, 10), (0, 2))
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    content = film.read_bytes()
    for make in (system.soundtrack, system.film):
        for to in (film, str(link), tmp_path / "other/../film.mp4", "", "/"):
            (tmp_path / "other").mkdir(exist_ok=True)
            with pytest.raises(BadTarget):
                make(film, to)
    with pytest.raises(BadTarget):
        system.soundtrack(film, tmp_path / "film.mkv")  # which would end in .mp4
    for make in (system.soundtrack, system.film):
        with pytest.raises(BadTarget, match="a folder"):
            make(film, tmp_path)
    assert film.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "link.mp4", "other"}


@pytest.mark.parametrize(
    ("to", "written"),
    [
        ("holiday.day1", "holiday.day1.mp4"),
        ("a.b", "a.b.mp4"),
        ("film", "film.mp4"),
        ("song.mp3", "song.mp3.mp4"),
        ("film.MOV", "film.mp4"),
        ("film.webm", "film.mp4"),
    ],
)
def test_a_dot_in_the_name_of_a_film_is_part_of_it(to: str, written: str, system: CycleSound, tmp_path: Path) -> None:
    film = telling_film(tmp_path / "seen.mp4", evenly(0, 1, 10), (0, 1))
    assert system.soundtrack(film, tmp_path / "out" / to) == tmp_path / "out" / written
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written]
    (tmp_path / "out" / written).unlink()
    assert system.film(film, tmp_path / "out" / to) == tmp_path / "out" / written
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written]


def test_a_file_that_cannot_be_used_is_an_error_and_leaves_nothing(system: CycleSound, tmp_path: Path) -> None:
    paper = tmp_path / "paper.mp4"
    paper.write_bytes(b"%PDF-1.7 dull")
    for make, to in ((system.soundtrack, "a.mp4"), (system.film, "b.mp4")):
        with pytest.raises(UserError):
            make(paper, tmp_path / to)
        with pytest.raises(FileNotFoundError):
            make(tmp_path / "nothing.mp4", tmp_path / to)
    heard = tmp_path / "heard.wav"
    heard.write_bytes(encoded(TONE, "wav"))
    with pytest.raises(BadDraw):
        system.film(heard, tmp_path / "c.mp4", seed=-1)
    assert {path.name for path in tmp_path.iterdir()} == {"paper.mp4", "heard.wav"}
