"""The arguments of `CycleSound`, checked and converted to the form that it works with.

Each check raises an error of one line that says what is expected.
"""

import operator
import os
from collections.abc import Iterable
from math import inf
from numbers import Real
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from cycle_sound.errors import BadDraw, BadPicture, BadSound, BadSteering, BadTarget, NoDevice, WrongModality
from cycle_sound.io.endings import with_ending
from cycle_sound.media import containers, images, sound_files
from cycle_sound.media.sounds import Sound
from cycle_sound.nn import device
from cycle_sound.params import MODALITIES, Config, Direction, Modality, fault

C = TypeVar("C", bound=Config)

Thing = Sound | Image.Image  # what a direction starts from, and what it makes

RANGELESS = ("F", "I")  # modes of Pillow in which nothing says which number is white
WANTED: dict[Modality, str] = {"audio": "a Sound", "image": "a PIL image"}
SEVERAL: dict[Modality, str] = {"audio": "Sounds", "image": "PIL images"}


def modality_of(thing: Thing) -> Modality:
    """The modality of a sound or picture. Raises `WrongModality` for anything else."""
    if isinstance(thing, Sound):
        return "audio"
    if isinstance(thing, Image.Image):
        return "image"
    raise WrongModality(f"expected {WANTED['audio']} or {WANTED['image']}, not {type(thing).__name__}")


def direction_from(source: Modality) -> Direction:
    """The direction that starts from a modality."""
    return "audio_to_image" if source == "audio" else "image_to_audio"


def listed(things: Iterable[Thing], *wanted: Modality) -> list[Thing]:
    """Sounds or pictures, whichever are wanted, as a list. Raises `WrongModality`."""
    several = " or ".join(SEVERAL[one] for one in wanted)
    if isinstance(things, Sound):  # which is a tuple, too
        raise WrongModality(f"expected a list of {several}, not {WANTED['audio']}")
    try:
        given = list(things)
    except TypeError:
        raise WrongModality(f"expected a list of {several}, not {type(things).__name__}") from None
    for thing in given:
        if modality_of(thing) not in wanted:
            raise WrongModality(f"expected {WANTED[wanted[0]]}, not {type(thing).__name__}")
    return given


def pairs(sources: Iterable[Thing], targets: Iterable[Thing]) -> tuple[list[Thing], list[Thing]]:
    """Sources and targets as lists, checked to be pairs of a sound and a picture. Raises `WrongModality`."""
    given, wanted = listed(sources, *MODALITIES), listed(targets, *MODALITIES)
    kinds = {tuple(map(modality_of, pair)) for pair in zip(given, wanted, strict=False)}
    if len(given) != len(wanted) or len(kinds) > 1 or any(one == other for one, other in kinds):
        raise WrongModality(
            f"{len(given)} sources, {len(wanted)} targets: expected pairs of a sound and a picture, all in one order"
        )
    return given, wanted


def whole(name: str, value: int, least: int, most: float = inf) -> int:
    """An integer of any type. Raises `BadDraw` if it is none, or outside of [least, most]."""
    try:
        number = operator.index(value)
    except TypeError:
        raise BadDraw(f"{name}: expected a whole number, not {value!r:.50}") from None
    if not least <= number <= most:
        raise BadDraw(f"{name}: {number} is not " + (f"{least} or more" if most == inf else f"from {least} to {most}"))
    return number


def checked(sampling: C, kind: type[C]) -> C:
    """A sampling configuration, after a check of its values. Raises `BadDraw`."""
    if not isinstance(sampling, kind):
        raise BadDraw(f"sampling: expected {kind.__name__}, not {type(sampling).__name__}")
    try:
        return kind.model_validate(sampling.model_dump(warnings=False))  # a copy with other values goes unchecked
    except ValidationError as error:
        raise BadDraw(f"sampling: {fault(error)}") from None


def shared(blend: tuple[Thing, float]) -> tuple[Thing, float]:
    """A source to mix in, and its share. Raises `BadSteering`."""
    try:
        other, share = blend
    except (TypeError, ValueError):
        raise BadSteering(
            f"blend: expected a source and its share between 0 and 1, not {type(blend).__name__}"
        ) from None
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise BadSteering(f"blend: a share of {share!r:.50} is not between 0 and 1")
    return other, float(share)


def samples(waveform: np.ndarray | Tensor) -> np.ndarray:
    """A waveform as float32 (samples,). Raises `BadSound`."""
    try:
        if isinstance(waveform, Tensor):
            waveform = waveform.detach().cpu()
            waveform = waveform.float() if waveform.dtype == torch.bfloat16 else waveform  # which numpy does not know
        wave = np.asarray(waveform)
    except (RuntimeError, TypeError, ValueError):  # a tensor without data, rows of several lengths
        raise BadSound(f"a waveform is floating point of shape (samples,), not {type(waveform).__name__}") from None
    if wave.ndim != 1 or not wave.size or not np.issubdtype(wave.dtype, np.floating):
        raise BadSound(f"a waveform is floating point of shape (samples,), not {wave.dtype} {wave.shape}")
    with np.errstate(over="ignore"):
        return sound_files.checked(wave.astype(np.float32))


def rate(sample_rate: float) -> int:
    """A sample rate of any numeric type, in Hz. Raises `BadSound`."""
    if not isinstance(sample_rate, Real) or sample_rate not in sound_files.RATES:
        raise BadSound(f"{sample_rate!s:.50} Hz: outside the rates that can be used")
    return int(sample_rate)


def rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode with a known range as RGB, transparency over white. Raises `BadPicture`."""
    if picture.mode in RANGELESS:
        raise BadPicture(f"its mode {picture.mode} has no known range of values: convert it to L or RGB")
    if not all(picture.size):
        raise BadPicture(f"has {picture.width} × {picture.height} pixels")
    try:
        picture.load()
        return images.rgb(picture)
    except Exception as error:  # of a broken file, which is read now, a decoder may raise almost anything
        raise BadPicture(f"cannot be decoded: {error}") from error


# --- where it runs, and what it reads and writes


def device_for(named: str | torch.device | None) -> torch.device:
    """The device named, else the best, after a test that it works. Raises `NoDevice`."""
    try:
        found = device.best() if named is None else torch.device(named)
        torch.zeros(1, device=found).cpu()
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:  # none such, or none of this torch
        raise NoDevice(device=named, reason=(str(error).splitlines() or [type(error).__name__])[0]) from None
    return found


def path(name: str | Path) -> Path:
    """A path, in which `~` stands for the user's home."""
    return Path(os.path.expanduser(name))


def target(to: str | Path, source: Path, ending: str) -> Path:
    """Where to write the film made of a file: `to` with an ending, in place of a film's.

    Raises `BadTarget`, also where the ending makes it the name of another file that is there.
    """
    named = path(to)
    if not named.name:
        raise BadTarget(f"{named}: not a file to write to")
    film = with_ending(named, ending, containers.ENDINGS)
    for one in (named, film):
        if one.is_dir():
            raise BadTarget(f"{one}: a folder")
    if os.path.realpath(film) == os.path.realpath(source) or (film.exists() and film.samefile(source)):
        raise BadTarget(f"{film}: is the source itself; name another file")
    is_named = film.name in (named.name, f"{named.name}{ending}") or (
        named.exists() and film.exists() and film.samefile(named)
    )
    if not is_named and os.path.lexists(film):  # in `is_named` a name in another case, where that is the same
        raise BadTarget(f"{film}: is there, and the film cannot be {named.name}; name that file to replace it")
    return film
