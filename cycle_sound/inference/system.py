"""Both directions as one object, for programs: sounds and pictures in, pictures and sounds out.

    from cycle_sound import CycleSound
    cs = CycleSound.load("models/")
    cs.image(waveform, sample_rate).save("heard.png")

Nothing is global: two systems may live side by side, each with its models on its own device.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cycle_sound import paths
from cycle_sound.errors import BadSound, BadSteering
from cycle_sound.inference import bundle, card, confidence, continuation, hub, soundtrack
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.confidence import NONE, Confidences
from cycle_sound.inference.engine import Drawing, Engine, Steering
from cycle_sound.inference.fixed_batches import batched
from cycle_sound.io import files
from cycle_sound.media import film_writer, images, mel, picture_files, pixels, sound_files, sound_reader
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound
from cycle_sound.nn import device
from cycle_sound.params import Direction, Modality, SamplingConfig, SamplingConfigs, source_of

Thing = Sound | Image.Image


class Label(NamedTuple):
    """What a classifier calls a sound or a picture."""

    name: str
    probability: float


class Station(NamedTuple):
    """One stop of the way round the cycle."""

    thing: Thing
    label: Label | None  # by the classifier of its modality; None without one
    score: float | None  # nats: how much likelier it makes the stop before; None at the start
    confidence: float | None  # that it shows what the stop before holds; None at the start, or where none is fitted
    content: float  # cosine in [-1, 1] of what it shows to what the start shows


class CycleSound:
    """The trained models of both directions.

    A picture is any PIL image: its centre square counts, and an RGB picture of `size` × `size` pixels comes back. A
    waveform is floating point (samples,), mono, 1.0 at full scale: its first `seconds` count, silence follows a shorter
    one; to use a longer one whole, cut it with `cycle_sound.media.sounds.windows`.

    One source, one seed and one setting give the same bytes in any batch on one machine. `candidates` are drawn for
    each source, and the one from which the other direction best explains the source is kept; `sampling` says how tokens
    are drawn (default: as `self.sampling` has it for the direction).

    Other sources, of the same kind, can steer a draw. Guidance leads away from `unlike`, where it else leads away from
    no source at all (negative prompting), the more so, the further it is above 1. Of `blend`, a source and its share in
    [0, 1], the transformer reads so much in place of each source. Of candidates, those that explain `unlike` are then
    worse, and those that explain `blend` better.
    """

    def __init__(self, models: Models, sampling: SamplingConfigs, confidences: Confidences = NONE) -> None:
        self.engine = Engine(models)
        self.sampling = sampling
        self._witness, self._fitted = Engine(models, confidence.ROWS), confidences

    @classmethod
    def load(cls, folder: str | Path = "models", where: str | torch.device | None = None) -> "CycleSound":
        """Read an exported folder or a project's `data/` to a device (default: a GPU if there is one, else the CPU).

        Raises `NoModels`, `MixedModels`, `BadCheckpoint` or `BadConfidence`, each with what is wrong in one line.
        """
        described = card.read(Path(folder))
        models = bundle.load(Path(folder), described.vocoder, torch.device(where or device.best()))
        return cls(models, described.sampling, described.confidence)

    @classmethod
    def from_pretrained(
        cls, name: str | Path | None = None, revision: str | None = None, where: str | torch.device | None = None
    ) -> "CycleSound":
        """Read the models that come along, those of a folder, or USER/NAME from the Hugging Face Hub.

        A folder of that name goes first. From the Hub safetensors and their card are fetched once, of a `revision`
        (branch, tag or commit; default: main), and kept where `huggingface_hub` keeps them; nothing is executed.
        Raises what `load` and `hub.download` raise.
        """
        if name is None or Path(name).exists() or not hub.is_name(str(name)):
            return cls.load(paths.PRETRAINED if name is None else name, where)
        return cls.load(hub.download(str(name), revision), where)

    @property
    def models(self) -> Models:
        """The trained models."""
        return self.engine.models

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.models.size

    @property
    def sample_rate(self) -> int:
        """Of the sounds that are made, in Hz."""
        return self.models.audio.sample_rate

    @property
    def seconds(self) -> float:
        """Length of the sound that belongs to one picture."""
        return self.models.seconds

    def image(
        self,
        waveform: np.ndarray,
        sample_rate: int,
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
        unlike: Sound | None = None,
        blend: tuple[Sound, float] | None = None,
    ) -> Image.Image:
        """The picture of a sound: (samples,) at `sample_rate` Hz → RGB, `size` × `size`.

        Raises `BadSound`, and `BadSteering` as `images` does.
        """
        heard, draw = [Sound(waveform, sample_rate)], sampling
        return self.images(heard, seed=seed, candidates=candidates, sampling=draw, unlike=unlike, blend=blend)[0]

    def images(
        self,
        sounds: Sequence[Sound],
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
        unlike: Sound | None = None,
        blend: tuple[Sound, float] | None = None,
    ) -> list[Image.Image]:
        """The pictures of sounds, of any rates.

        Raises `BadSound`, and `BadSteering` for a guidance of 1 or less beside `unlike`, or a share outside [0, 1].
        """
        if not sounds:
            return []
        drawing = self._drawing("audio_to_image", seed, candidates, sampling, unlike, blend)
        generated = self.engine.generate("audio_to_image", self._pictures(sounds), drawing)
        return [picture_files.to_picture(values) for values in generated.numpy()]

    def sound(
        self,
        picture: Image.Image,
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        seconds: float | None = None,
    ) -> Sound:
        """The sound of a picture: a waveform of `seconds` at `sample_rate`. Raises `BadSteering` as `sounds` does."""
        draw: dict[str, Any] = {"seed": seed, "candidates": candidates, "sampling": sampling}
        return self.sounds([picture], **draw, unlike=unlike, blend=blend, seconds=seconds)[0]

    def sounds(
        self,
        pictures: Sequence[Image.Image],
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        seconds: float | None = None,
    ) -> list[Sound]:
        """The sounds of pictures, of any sizes; with `seconds` as long as that, as `sound_blocks` makes them.

        Raises `BadSteering` for a guidance of 1 or less beside `unlike`, or a share outside [0, 1], and ValueError for
        no length above 0.
        """
        if not pictures:
            return []
        drawing = self._drawing("image_to_audio", seed, candidates, sampling, unlike, blend)
        seen = self._pictures(pictures)
        if seconds is None:
            waves = self.engine.waveforms(self.engine.generate("image_to_audio", seen, drawing))
            return [Sound(wave, self.sample_rate) for wave in waves]
        blocks = (continuation.waveform(self.engine, one, drawing, seconds) for one in seen.split(1))
        return [Sound(np.concatenate(list(one)), self.sample_rate) for one in blocks]

    def sound_blocks(
        self,
        picture: Image.Image,
        seconds: float,
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        report: str = "",
    ) -> Iterator[Sound]:
        """A picture's sound of any length, a block after another, as long together as `seconds` says.

        What is drawn goes on where what was drawn before ends: nothing is repeated, and an hour takes hardly more
        memory than a minute. `report` names the work whose progress is printed on stderr; "" prints none. Raises as
        `sounds` does.
        """
        drawing = self._drawing("image_to_audio", seed, candidates, sampling, unlike, blend)
        waves = continuation.waveform(self.engine, self._pictures([picture]), drawing, seconds, report)
        return (Sound(wave, self.sample_rate) for wave in waves)

    def soundtrack(
        self,
        film: str | Path,
        to: str | Path,
        *,
        mix: bool = False,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
    ) -> Path:
        """Write a film with sounds of its pictures, of which no packet changes; return the path of the new film.

        That is `to`, which ends in .mp4, or in .mkv where MP4 does not hold the pictures' encoding. `mix` keeps the
        film's own sound under the new one. An hour takes hardly more memory than a minute.

        Raises `BadFilm` or `BadSound`.
        """
        given = FilmReader(Path(film))
        path = Path(to).with_suffix(film_writer.ending(given))
        make = partial(self.sounds, seed=seed, candidates=candidates, sampling=sampling)
        with files.replacing(path) as part:
            soundtrack.write(part, given, make, self.models, mix)
        return path

    def film(
        self,
        sound: str | Path,
        to: str | Path,
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfig | None = None,
    ) -> None:
        """Write an MP4 of a sound file's pictures, or of a film's sound's, one for each `seconds`, with that sound.

        An hour takes hardly more memory than a minute. Raises `BadSound`.
        """
        make = partial(self.images, seed=seed, candidates=candidates, sampling=sampling)
        parts = sound_reader.windows(sound_reader.blocks(Path(sound)), self.seconds)
        pictures = (picture for batch in batched(parts) for picture in make(batch))
        with files.replacing(Path(to)) as part:
            film_writer.write_film(part, pictures, self.seconds, sound_reader.blocks(Path(sound)))

    def score(self, sound: Sound, picture: Image.Image) -> float:
        """How much likelier the picture makes the sound, in nats: log p(sound | picture) − log p(sound | nothing).

        Above 0 they belong together more than chance would have it. Raises `BadSound`.
        """
        return self.scores([sound], [picture])[0]

    def scores(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float]:
        """How much likelier each target makes its source, in nats: sounds and pictures, or pictures and sounds.

        Raises `BadSound`, and ValueError where a pair does not hold one of each modality.
        """
        if not sources:
            return []
        return self.engine.pointwise_mutual_information(*self._pairs(sources, targets)).tolist()

    @property
    def knows_confidence(self) -> bool:
        """Whether a confidence was fitted to these models, of both directions."""
        return None not in (self._fitted.audio_to_image, self._fitted.image_to_audio)

    def confidence(self, source: Thing, target: Thing) -> float | None:
        """How likely it is that what was made of a source shows what the source holds: a probability, calibrated.

        Of any seed, sampling and number of candidates; None where none was fitted to these models. Raises `BadSound`.
        """
        found = self.confidences([source], [target])
        return None if found is None else found[0]

    def confidences(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float] | None:
        """The same of several, sounds and pictures, or pictures and sounds.

        Raises `BadSound`, and ValueError where a pair does not hold one of each modality.
        """
        if not sources:
            return []
        direction, given, wanted = self._pairs(sources, targets)
        fitted = self._fitted[direction]
        if fitted is None:
            return None
        return fitted.of(confidence.evidence(self._witness, direction, given, wanted))

    def cycle(
        self,
        start: Thing,
        rounds: int = 1,
        *,
        seed: int = 0,
        candidates: int = 1,
        sampling: SamplingConfigs | None = None,
    ) -> list[Station]:
        """Send a sound or a picture there and back `rounds` times: the start and 2 × rounds stations.

        `sampling` holds how each direction draws. Every station is described as it would be from its file.
        Raises `BadSound`.
        """
        draw = sampling or self.sampling
        stations = [self.describe(start, start)]
        for _ in range(2 * rounds):
            last = stations[-1].thing
            after: Thing
            if isinstance(last, Sound):
                after = self.images([last], seed=seed, candidates=candidates, sampling=draw.audio_to_image)[0]
            else:
                after = self.sounds([last], seed=seed, candidates=candidates, sampling=draw.image_to_audio)[0]
            stations.append(self.describe(after, start, last))
        return stations

    def describe(self, thing: Thing, start: Thing, before: Thing | None = None) -> Station:
        """What is said of a sound or picture that was made, in the end, of `start`, and at once of `before`.

        Raises `BadSound`.
        """
        modality, direction = _modality(thing), _direction(start)
        picture, first = self._pictures([thing]), self._pictures([start])
        classified = self.engine.classify(modality, picture)
        label = classified and Label(classified.labels[0], classified.probabilities[0])
        shown = self.engine.summaries(direction, modality, picture)
        wanted = self.engine.summaries(direction, _modality(start), first)
        score = None if before is None else self.scores([before], [thing])[0]
        sure = None if before is None else self.confidence(before, thing)
        return Station(thing, label, score, sure, float((shown * wanted).sum()))

    def _drawing(
        self,
        direction: Direction,
        seed: int,
        candidates: int,
        sampling: SamplingConfig | None,
        unlike: Thing | None,
        blend: tuple[Thing, float] | None,
    ) -> Drawing:
        """How the engine is to draw. Raises `BadSteering`."""
        draw = sampling or self.sampling[direction]
        if unlike is not None and draw.guidance <= 1:
            raise BadSteering(f"unlike: a guidance of {draw.guidance:g} leads away from nothing; give one above 1")
        return Drawing(candidates, draw, seed, self._steering(direction, unlike, blend))

    def _steering(self, direction: Direction, unlike: Thing | None, blend: tuple[Thing, float] | None) -> Steering:
        """Other sources as the engine takes them. Raises `BadSteering`."""
        other, share = blend or (None, 0.0)
        if not 0 <= share <= 1:
            raise BadSteering(f"blend: a share of {share:g} is not between 0 and 1")
        if any(thing is not None and _direction(thing) != direction for thing in (unlike, other)):
            wanted = "sounds" if source_of(direction) == "audio" else "pictures"
            raise BadSteering(f"unlike and blend: what is made of {wanted} is steered by other {wanted} alone")
        away, mixed_in = (None if thing is None else self._pictures([thing]) for thing in (unlike, other))
        return Steering(away, mixed_in, share)

    def _pairs(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> tuple[Direction, Tensor, Tensor]:
        """The direction from sources, at least one, to targets, and the pictures of both. Raises ValueError."""
        direction = _direction(sources[0])
        given, wanted = self._pictures(sources), self._pictures(targets)
        if len(given) != len(wanted) or any(_direction(one) == direction for one in targets):
            raise ValueError(
                f"{len(sources)} sources, {len(targets)} targets: pairs of one sound and one picture wanted"
            )
        return direction, given, wanted

    def _pictures(self, things: Sequence[Thing]) -> Tensor:
        """Sounds or pictures as the models see them: (n, c, h, w) in [-1, 1]."""
        return torch.stack([self._log_mel(*one) if isinstance(one, Sound) else self._pixels(one) for one in things])

    def _pixels(self, picture: Image.Image) -> Tensor:
        return pixels.to_float(torch.from_numpy(images.to_array(picture.convert("RGB"), self.size)))

    def _log_mel(self, waveform: np.ndarray, sample_rate: int) -> Tensor:
        wave = np.asarray(waveform)
        if wave.ndim != 1 or not wave.size or not np.issubdtype(wave.dtype, np.floating):
            raise BadSound(f"a waveform is floating point of shape (samples,), not {wave.dtype} {wave.shape}")
        if sample_rate not in sound_files.RATES:
            raise BadSound(f"{sample_rate} Hz: outside what is used")
        if not np.isfinite(wave).all():
            raise BadSound("holds NaN or infinite samples")
        heard = mel.of_clip(wave.astype(np.float32), sample_rate, self.models.audio, self.seconds)
        return torch.from_numpy(heard).float()


def _modality(thing: Thing) -> Modality:
    return "audio" if isinstance(thing, Sound) else "image"


def _direction(thing: Thing) -> Direction:
    return "audio_to_image" if isinstance(thing, Sound) else "image_to_audio"
