"""Both directions as one object, for programs: sounds and pictures in, pictures and sounds out.

    from cycle_sound import CycleSound
    cs = CycleSound.load("models/")
    cs.image(waveform, sample_rate).save("heard.png")

Nothing is global: two systems may live side by side, each with its models on its own device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cycle_sound import paths
from cycle_sound.errors import BadSteering, HubRefused, NeitherHere
from cycle_sound.inference import arguments, bundle, card, confidence, continuation, hub, soundtrack
from cycle_sound.inference.arguments import Thing
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.confidence import NONE, Confidences
from cycle_sound.inference.engine import Drawing, Engine, Steering
from cycle_sound.inference.fixed_batches import batched
from cycle_sound.io import files
from cycle_sound.media import film_writer, images, mel, picture_files, pixels, sound_reader
from cycle_sound.media.blocks import windows
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound
from cycle_sound.nn import device as devices
from cycle_sound.params import MAX_CANDIDATES, MODALITIES, Direction, SamplingConfig, SamplingConfigs, source_of

CPU = torch.device("cpu")


class Label(NamedTuple):
    """What a classifier recognises in a sound or a picture: the likeliest `name`, its `probability` in [0, 1]."""

    name: str
    probability: float


class Station(NamedTuple):
    """One stop on the way around the cycle: a `thing`, which is a `Sound` or a PIL image, and what is known about it.

    `label`: by the classifier of its modality; None if the models have none. `score`: that of `CycleSound.scores` with
    the stop before as its source, in nats; None at the start. `confidence`: the probability in [0, 1] that it matches
    the content of the stop before; None at the start, and if none was fitted to the models. `content`: its similarity
    to the start, a cosine in [-1, 1] of embeddings; 1 at the start.
    """

    thing: Thing
    label: Label | None
    score: float | None
    confidence: float | None
    content: float


class CycleSound:
    """The trained models of both directions; `load` and `from_pretrained` read them.

    A picture is any PIL image except those of mode F or I, which have no known range. Its central square is used, with
    its pixels as they are stored (`PIL.ImageOps.exif_transpose` turns a photograph upright) and transparency over
    white. Generated pictures are RGB, `size` × `size` pixels. A waveform is floating point (samples,), mono, 1.0 at
    full scale, a numpy array or a tensor on any device, of 4,000 to 192,000 Hz. Its first `seconds` are used, and a
    shorter one is padded with silence; `cycle_sound.windows` cuts a longer one into clips. Generated waveforms
    are float32 at `sample_rate`.

    The same source, `seed` (from 0) and settings give the same bytes in any batch on one machine. `sampling` says how
    codes are sampled, and how many candidates are drawn for each source, of which the one that best explains the source
    is kept (default: `self.sampling` of the direction). `candidates` (1 to 1000) stands for another number of them.

    Other sources, of the same modality, can steer sampling. Guidance then steers away from `unlike` instead of from no
    source at all (negative prompting); the further it is above 1, the stronger the effect. `blend` is a source and its
    share in [0, 1], with which it is mixed into the prefix that the transformer reads of each source. Among candidates,
    explaining `unlike` then counts against one, and explaining `blend` in its favour.

    Calls from several threads wait for each other. An error that the caller can fix is a
    `cycle_sound.errors.UserError`, which is a ValueError: `BadSound`, `BadPicture` or `WrongModality` for a source,
    `BadDraw` for a seed, a number of candidates, a length or a sampling configuration, `BadSteering` for `unlike` and
    `blend`. What the operating system refuses for a file is an OSError.
    """

    def __init__(self, models: Models, sampling: SamplingConfigs, confidences: Confidences = NONE) -> None:
        self.engine = Engine(models)
        self.sampling = sampling
        self._evidence_engine = Engine(models, confidence.BATCH)
        self._fitted = NONE if None in models.classifiers.values() else confidences  # which are asked for evidence
        self._lock = RLock()

    def __reduce__(self) -> tuple[Any, ...]:  # for pickle and copy: a lock and what is cached stay behind
        return type(self), (self.models, self.sampling, self._fitted)

    @classmethod
    def load(cls, folder: str | Path = "models", device: str | torch.device | None = None) -> "CycleSound":
        """Read an exported folder or a project's `data/`, onto a `device`.

        By default this is a GPU if there is one, else the CPU. `~` stands for the user's home. Raises `NoModels`,
        `MixedModels`, `BadCheckpoint`, `BadConfidence`, `NoDevice` or, for a project's params.yaml, `ParamsError`, each
        with a message of one line.
        """
        place, there = arguments.path(folder), arguments.device_for(device)
        described = card.read(place)
        with CPU:  # where models are built before they move, whatever device is the caller's default
            models = bundle.load(place, described.vocoder, there)
        return cls(models, described.sampling, described.confidence)

    @classmethod
    def from_pretrained(
        cls, name: str | Path | None = None, revision: str | None = None, device: str | torch.device | None = None
    ) -> "CycleSound":
        """Read the bundled models, those of a folder, or USER/NAME from the Hugging Face Hub.

        A local folder of that name takes precedence, and a Path is always a folder. From the Hub, safetensors files and
        their card are downloaded once, at a `revision` (branch, tag or commit; default: main), into the cache of
        `huggingface_hub`; nothing is executed. Raises what `load` raises, `HubRefused` if the Hub does not provide the
        models or a revision of a folder is given, and `MissingPackage`.
        """
        place = paths.PRETRAINED if name is None else arguments.path(name)
        if not isinstance(name, str) or place.exists() or not hub.is_name(name):
            if revision is not None:
                raise HubRefused(name=place, reason=f"no revision {revision!r:.100}: this is a folder here")
            return cls.load(place, device)
        try:
            fetched = hub.download(name, revision)
        except HubRefused as error:  # perhaps a folder was meant
            raise NeitherHere(refusal=error) from error
        return cls.load(fetched, device)

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
        """Sample rate of generated sounds, in Hz."""
        return self.models.audio.sample_rate

    @property
    def seconds(self) -> float:
        """Length of a clip, the sound that belongs to one picture, in seconds."""
        return self.models.seconds

    def image(
        self,
        waveform: np.ndarray | Tensor,
        sample_rate: int,
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Sound | None = None,
        blend: tuple[Sound, float] | None = None,
    ) -> Image.Image:
        """The picture of a sound: (samples,) at `sample_rate` Hz → RGB, `size` × `size`. Raises as `images` does."""
        return self.images(
            [Sound(arguments.samples(waveform), sample_rate)],
            seed=seed,
            candidates=candidates,
            sampling=sampling,
            unlike=unlike,
            blend=blend,
        )[0]

    def images(
        self,
        sounds: Sequence[Sound],
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Sound | None = None,
        blend: tuple[Sound, float] | None = None,
    ) -> list[Image.Image]:
        """The pictures of sounds of any rates: one of `size` × `size`, RGB, for each.

        Raises `WrongModality` for anything but a list of Sounds, `BadSound` for an invalid waveform or rate, `BadDraw`,
        and `BadSteering` for a guidance of 1 or less together with `unlike`, or a share outside [0, 1].
        """
        given = arguments.listed(sounds, "audio")
        drawing = self._drawing("audio_to_image", seed, candidates, sampling, unlike, blend)
        if not given:
            return []
        with self._computing():
            generated = self.engine.generate("audio_to_image", self._pictures(given), drawing)
        return [picture_files.to_picture(values) for values in generated.numpy()]

    def sound(
        self,
        picture: Image.Image,
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        seconds: float | None = None,
    ) -> Sound:
        """The sound of a picture: float32 (samples,) at `sample_rate`, as `sounds` makes it. Raises as that does."""
        return self.sounds(
            [picture],
            seed=seed,
            candidates=candidates,
            sampling=sampling,
            unlike=unlike,
            blend=blend,
            seconds=seconds,
        )[0]

    def sounds(
        self,
        pictures: Sequence[Image.Image],
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        seconds: float | None = None,
        callback: Callable[[], object] | None = None,
    ) -> list[Sound]:
        """The sounds of pictures of any sizes: float32 waveforms, each `self.seconds` long.

        With `seconds` each has that length, made as by `sound_blocks`; `callback` is called before each part, as there.
        Raises `WrongModality` for anything but a list of PIL images, `BadPicture` for an invalid one, `BadDraw`, also
        for a length of less than a sample or more than ten hours, and `BadSteering` for a guidance of 1 or less
        together with `unlike`, or a share outside [0, 1].
        """
        given = arguments.listed(pictures, "image")
        drawing = self._drawing("image_to_audio", seed, candidates, sampling, unlike, blend)
        if seconds is not None:
            continuation.layout(seconds, self.models)  # raises also where there is no picture
            long = [[*self._blocks(one, drawing, seconds, callback=callback)] for one in given]
            return [Sound(np.concatenate([block.waveform for block in one]), self.sample_rate) for one in long]
        if not given:
            return []
        with self._computing():
            waves = self.engine.waveforms(self.engine.generate("image_to_audio", self._pictures(given), drawing))
        return [Sound(wave, self.sample_rate) for wave in waves]

    def sound_blocks(
        self,
        picture: Image.Image,
        seconds: float,
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
        progress: str = "",
        callback: Callable[[], object] | None = None,
    ) -> Iterator[Sound]:
        """A sound of `seconds` from one picture, as one block after another.

        Each part continues the one before: nothing is repeated, and an hour takes hardly more memory than a minute.
        `progress` is the name under which its progress is printed on stderr; "" prints none. `callback` is called
        before each part, of a clip's length or less, is sampled; an exception that it raises ends the work. Raises as
        `sounds` does, before the first block.
        """
        (given,) = arguments.listed([picture], "image")
        drawing = self._drawing("image_to_audio", seed, candidates, sampling, unlike, blend)
        return self._blocks(given, drawing, seconds, progress, callback)

    def soundtrack(
        self,
        film: str | Path,
        to: str | Path,
        *,
        mix: bool = False,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Image.Image | None = None,
        blend: tuple[Image.Image, float] | None = None,
    ) -> Path:
        """Write a film with a soundtrack made from its frames, which are not re-encoded; return its path.

        This is `to` with the ending .mp4, or .mov or .mkv if the video codec requires it, in place of any ending of
        films that `to` has. `mix` keeps the film's own sound under the new one; a film that has none, or one that
        cannot be decoded, gets the new one alone. An hour takes hardly more memory than a minute.

        Raises `BadFilm` or `BadSound` for a file that cannot be used, `BadTarget` if `to` is the film itself or a
        folder, or its ending becomes that of another file that is there, and `BadPicture`, `BadDraw` and `BadSteering`
        as `sounds` does.
        """
        given = FilmReader(arguments.path(film))
        path = arguments.target(to, given.path, film_writer.ending(given))
        make = partial(self.sounds, seed=seed, candidates=candidates, sampling=sampling, unlike=unlike, blend=blend)
        with files.replacing(path) as part:
            soundtrack.write(part, given, make, self.models, mix)
        return path

    def film(
        self,
        sound: str | Path,
        to: str | Path,
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfig | None = None,
        unlike: Sound | None = None,
        blend: tuple[Sound, float] | None = None,
    ) -> Path:
        """Write a film of a sound file, or of a film's sound: one picture for each `self.seconds`, and the sound.

        Returns its path, which is `to` with the ending .mp4, in place of any ending of films that `to` has. An hour
        takes hardly more memory than a minute. Raises `BadSound` for a file that cannot be used, `BadTarget` if the
        path is that of the sound, or `to` a folder, and `BadDraw` and `BadSteering` as `images` does.
        """
        source = arguments.path(sound)
        path = arguments.target(to, source, ".mp4")
        make = partial(self.images, seed=seed, candidates=candidates, sampling=sampling, unlike=unlike, blend=blend)
        parts = windows(sound_reader.blocks(source), self.seconds)
        pictures = (picture for batch in batched(parts) for picture in make(batch))
        with files.replacing(path) as part:
            film_writer.write_film(part, pictures, self.seconds, sound_reader.blocks(source))
        return path

    def score(self, sound: Sound, picture: Image.Image) -> float:
        """The score of a picture whose source is a sound: log p(sound | picture) − log p(sound | nothing), in nats.

        Above 0 they belong together more than by chance. Raises as `scores` does.
        """
        return self.scores([sound], [picture])[0]

    def scores(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float]:
        """The score of each target: sounds and pictures, or pictures and sounds.

        Score: log-likelihood ratio of the source with and without this result, in nats; an estimate of the pointwise
        mutual information of the two, which may be negative.
        Raises `BadSound` and `BadPicture`, and `WrongModality` for lists that are not of equal length, one of Sounds
        and one of PIL images.
        """
        given, wanted = arguments.pairs(sources, targets)
        if not given:
            return []
        with self._computing():
            return self.engine.pointwise_mutual_information(*self._pairs(given, wanted)).tolist()

    @property
    def knows_confidence(self) -> bool:
        """Whether a confidence was fitted to these models, for both directions."""
        return None not in (self._fitted.audio_to_image, self._fitted.image_to_audio)

    def familiarities(self, sources: Sequence[Thing]) -> list[float] | None:
        """The probability that each sound, or each picture, is like the training data: in [0, 1].

        What is made of one that is not means little, and has no confidence above this. None if no confidence was fitted
        to these models, but for no sources an empty list in any case. Raises `BadSound`, `BadPicture`, and
        `WrongModality` for both kinds in one list, or neither.
        """
        given = arguments.listed(sources, *MODALITIES)
        if not given:
            return []
        modality = arguments.modality_of(given[0])
        arguments.listed(given, modality)
        fitted = self._fitted[arguments.direction_from(modality)]
        if fitted is None:
            return None
        with self._computing():
            pictures = self._pictures(given)
            codes = self._evidence_engine.encode(modality, pictures)
            errors = self._evidence_engine.reconstruction_error(modality, pictures, codes)
        return [fitted.familiarity.of(error) for error in errors.tolist()]

    def confidence(self, source: Thing, target: Thing) -> float | None:
        """The calibrated probability that a target, generated from a source, matches its content.

        For any seed, sampling configuration and number of candidates. Low for a source unlike the training data. None
        if no confidence was fitted to these models. Raises as `scores` does.
        """
        found = self.confidences([source], [target])
        return None if found is None else found[0]

    def confidences(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float] | None:
        """The calibrated probability that each target, generated from its source, matches the source's content.

        For sounds and pictures, or pictures and sounds. Low for sources unlike the training data. None if no confidence
        was fitted to these models, but for no pairs an empty list in any case. Raises as `scores` does.
        """
        given, wanted = arguments.pairs(sources, targets)
        if not given:
            return []
        direction, *seen = self._pairs(given, wanted)
        fitted = self._fitted[direction]
        if fitted is None:
            return None
        with self._computing():
            return fitted.of(confidence.evidence(self._evidence_engine, direction, *seen))

    def cycle(
        self,
        start: Thing,
        rounds: int = 1,
        *,
        seed: int = 0,
        candidates: int | None = None,
        sampling: SamplingConfigs | None = None,
    ) -> list[Station]:
        """Send a sound or a picture there and back `rounds` times: the start and 2 × rounds stations.

        `sampling` holds the sampling configuration of each direction. Of a longer sound the start is its first
        `self.seconds`. Every station is described as it would be from its file. Raises `WrongModality` if the start is
        neither, `BadSound`, `BadPicture`, and `BadDraw`, also for rounds below 0.
        """
        count = 1 + 2 * arguments.whole("rounds", rounds, 0)
        return list(islice(self.stations(start, seed=seed, candidates=candidates, sampling=sampling), count))

    def stations(
        self, start: Thing, *, seed: int = 0, candidates: int | None = None, sampling: SamplingConfigs | None = None
    ) -> Iterator[Station]:
        """The stations of `cycle` one after another, without end; each is made when it is requested.

        Raises as `cycle` does.
        """
        draw = self.sampling if sampling is None else arguments.checked(sampling, SamplingConfigs)
        start = self._used(start)
        station = self.describe(start, start)
        while True:
            yield station
            after: Thing
            if isinstance(last := station.thing, Sound):
                after = self.image(*last, seed=seed, candidates=candidates, sampling=draw.audio_to_image)
            else:
                after = self.sound(last, seed=seed, candidates=candidates, sampling=draw.image_to_audio)
            station = self.describe(after, start, last)

    def describe(self, thing: Thing, start: Thing, before: Thing | None = None) -> Station:
        """A sound or a picture as a station: what the models say about it.

        `start` is the first station of the cycle, `before` the one from which `thing` was made, or None for the start
        itself. Raises `BadSound` and `BadPicture`, and `WrongModality` if `before` has the modality of `thing`, or one
        of them has neither.
        """
        modality, wanted = arguments.modality_of(thing), arguments.modality_of(start)
        direction = arguments.direction_from(wanted)
        with self._computing():
            picture = self._pictures([thing])
            classified = self.engine.classify(modality, picture)
            shown = self.engine.summaries(direction, modality, picture)
            content = shown * self.engine.summaries(direction, wanted, self._pictures([start]))
        label = classified and Label(classified.labels[0], classified.probabilities[0])
        score = None if before is None else self.scores([before], [thing])[0]
        sure = None if before is None else self.confidence(before, thing)
        return Station(thing, label, score, sure, float(content.sum()))

    def preprocess(self, thing: Thing) -> Tensor:
        """A sound or a picture as the models see it, for `engine`: float32 (1, c, h, w) in [-1, 1].

        A picture is RGB, (1, 3, `size`, `size`); a sound is its log-mel spectrogram, (1, 1, mels, frames). Raises
        `WrongModality` for neither, `BadSound` and `BadPicture`.
        """
        arguments.modality_of(thing)
        return self._pictures([thing])

    def _used(self, thing: Thing) -> Thing:
        """The part of a sound that the models see, or a picture as it is. Raises `BadSound`."""
        if not isinstance(thing, Sound):
            return thing
        wave, rate = arguments.samples(thing.waveform), arguments.rate(thing.sample_rate)
        count = round(self.seconds * rate)
        return Sound(wave[:count], rate) if len(wave) > count else thing

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """One call at a time, as all share a cache of keys and values, whatever precision and device the caller has."""
        elsewhere = torch.get_default_device() != CPU
        with self._lock, devices.exact(self.models.device), CPU if elsewhere else nullcontext():
            yield

    def _blocks(
        self,
        picture: Thing,
        drawing: Drawing,
        seconds: float,
        progress: str = "",
        callback: Callable[[], object] | None = None,
    ) -> Iterator[Sound]:
        """`sound_blocks` of a picture."""
        continuation.layout(seconds, self.models)  # raises before anything is made
        waves = continuation.waveform(self.engine, self._pictures([picture]), drawing, seconds, progress, callback)

        def computed() -> Iterator[Sound]:
            while True:
                with self._computing():
                    wave = next(waves, None)
                if wave is None:
                    return
                yield Sound(wave, self.sample_rate)

        return computed()

    def _drawing(
        self,
        direction: Direction,
        seed: int,
        candidates: int | None,
        sampling: SamplingConfig | None,
        unlike: Thing | None,
        blend: tuple[Thing, float] | None,
    ) -> Drawing:
        """The settings for the engine. Raises `BadDraw` and `BadSteering`."""
        number = arguments.whole("seed", seed, 0)
        draw = self.sampling[direction] if sampling is None else arguments.checked(sampling, SamplingConfig)
        if candidates is not None:
            count = arguments.whole("candidates", candidates, 1, MAX_CANDIDATES)
            draw = draw.model_copy(update={"candidates": count})
        if unlike is not None and draw.guidance <= 1:
            raise BadSteering(f"unlike: a guidance of {draw.guidance:g} steers away from nothing; give one above 1")
        return Drawing(draw, number, self._steering(direction, unlike, blend))

    def _steering(self, direction: Direction, unlike: Thing | None, blend: tuple[Thing, float] | None) -> Steering:
        """Other sources as the engine takes them. Raises `BadSteering`."""
        other, share = (None, 0.0) if blend is None else arguments.shared(blend)
        source = source_of(direction)
        if any(thing is not None and arguments.modality_of(thing) != source for thing in (unlike, other)):
            wanted = "sounds" if source == "audio" else "pictures"
            raise BadSteering(f"unlike and blend: must be {wanted}, like the source")
        away, mixed_in = (None if thing is None else self._pictures([thing]) for thing in (unlike, other))
        return Steering(away, mixed_in, share)

    def _pairs(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> tuple[Direction, Tensor, Tensor]:
        """The direction from sources, at least one, to targets, and the pictures of both."""
        direction = arguments.direction_from(arguments.modality_of(sources[0]))
        return direction, self._pictures(sources), self._pictures(targets)

    def _pictures(self, things: Sequence[Thing]) -> Tensor:
        """Sounds or pictures as the models see them: (n, c, h, w) in [-1, 1]."""
        return torch.stack([self._log_mel(*one) if isinstance(one, Sound) else self._pixels(one) for one in things])

    def _pixels(self, picture: Image.Image) -> Tensor:
        return pixels.to_float(torch.from_numpy(images.to_array(arguments.rgb(picture), self.size)))

    def _log_mel(self, waveform: np.ndarray, sample_rate: int) -> Tensor:
        wave, rate = arguments.samples(waveform), arguments.rate(sample_rate)
        return torch.from_numpy(mel.of_clip(wave, rate, self.models.audio, self.seconds)).float()
