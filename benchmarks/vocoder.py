"""Vocoders beside librosa's: how near what is heard comes to the real sound, and how long that takes.

python -m benchmarks.vocoder [--pairs FOLDER] [--digits FOLDER] [--json]

FOLDER holds train_data/*.mp3 and test_data/*.mp3: the toy orchestra of the last `dvc repro`, and spoken digits. The
learned vocoder is first trained on the sounds of train_data, then all three invert the log-mels of test_data. At the
full resolution of the transform: spectral convergence ‖|S| - |STFT(y)|‖ / ‖S‖, S of the real sound, and log-spectral
distance in dB. Of speech the intelligibility (STOI, Taal et al. 2011), where pystoi is installed, as by
pip install -e '.[benchmarks]'. Of PESQ no wheel is published.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks import hardware, printing
from cycle_sound import paths
from cycle_sound.acquisition import splits
from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset.sounds import Sounds
from cycle_sound.io import files
from cycle_sound.io.params_file import load
from cycle_sound.models import griffin_lim
from cycle_sound.models.griffin_lim import GriffinLim
from cycle_sound.models.learned_vocoder import LearnedVocoder
from cycle_sound.nn import device, fidelity
from cycle_sound.params import AudioConfig, Params
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.vocoder import VocoderObjective, distances, log_mels
from cycle_sound.training.resume import Snapshot

DIGITS = Path(__file__).resolve().parents[2] / "shared/data/spoken-digits"
LISTENED = 64  # test sounds; librosa takes a fifth of a second for each
TIMED = 16  # of them, together
VALID = 64  # of the training sounds, by which the best weights are chosen
JOINED = 16  # sounds of speech in an utterance: STOI wants seconds


def sounds(folder: Path, split: Literal["train", "test"], params: Params, first: int, last: int | None) -> Sounds:
    """Sounds of a folder of pairs, in an order that mixes the labels."""
    found = sorted((folder / f"{split}_data").glob("*.mp3"), key=lambda path: splits.order(path.stem))[first:last]
    originals = [Original(split, path.stem, "", files.digest(path)) for path in found]
    rate = params.audio.sample_rate
    return Sounds(folder, originals, round(params.data.clip_seconds * rate), rate)


def trained(folder: Path, params: Params) -> LearnedVocoder:
    """The learned vocoder of a folder's training sounds, as the stage makes it."""
    device.prepare(params.seed)
    config = params.vocoder.learned
    model = LearnedVocoder(config, params.audio).to(device.best())
    train, valid = sounds(folder, "train", params, VALID, None), sounds(folder, "train", params, 0, VALID)
    objective = VocoderObjective(model, (train, valid), config)
    with tempfile.TemporaryDirectory() as work:
        snapshot = Snapshot(Path(work) / "snapshot.safetensors", "benchmark")
        fit(model, objective, config.optimizer, params.seed, Curve(Path(work) / "vocoder.csv"), snapshot)
    return model


def intelligibility(heard: np.ndarray, real: np.ndarray, sample_rate: int) -> float:
    """Mean STOI of speech (n, samples), some words at a time, without the silence behind each."""
    from pystoi import stoi

    words = [len(np.trim_zeros(wave, "b")) for wave in real]
    scores = []
    for start in range(0, len(real), JOINED):
        rows = range(start, min(start + JOINED, len(real)))
        pair = (np.concatenate([waves[row, : words[row]] for row in rows]) for waves in (real, heard))
        scores.append(float(stoi(*pair, sample_rate)))
    return mean(scores)


def quality(heard: Tensor, real: Tensor, audio: AudioConfig, speech: bool) -> dict[str, float]:
    """How near waveforms (n, samples) come to real ones."""
    pair = log_mels(heard, audio), log_mels(real, audio)
    figures = distances(heard, real, audio)
    figures["log_mel_distance"] = float(fidelity.log_spectral_distance(*pair, audio.max_db - audio.min_db).mean())
    if speech and importlib.util.find_spec("pystoi") is not None:
        figures["stoi"] = intelligibility(heard.numpy(), real.numpy(), audio.sample_rate)
    return figures


def measured(folder: Path, params: Params, speech: bool) -> dict[str, float]:
    """Every figure of each vocoder on a folder's test sounds; times are seconds per second of sound."""
    audio, where, rounds = params.audio, device.best(), params.vocoder.griffin_lim_rounds
    real = (test := sounds(folder, "test", params, 0, LISTENED)).waveforms(range(len(test)))
    pictures, seconds = log_mels(real, audio), real.shape[1] / audio.sample_rate

    def by_librosa(given: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([griffin_lim.by_librosa(one.cpu().numpy(), audio, rounds) for one in given]))

    vocoders: dict[str, Callable[[Tensor], Tensor]] = {
        "librosa": by_librosa,
        "griffin_lim": GriffinLim(audio, rounds).waveforms,
        "learned": trained(folder, params).eval().waveforms,
    }
    figures: dict[str, dict[str, float]] = {}
    for name, waveforms in vocoders.items():
        figures[name] = quality(waveforms(pictures.to(where)).cpu(), real, audio, speech)
        some = pictures[:TIMED].to(where)
        took = hardware.seconds(lambda invert=waveforms, some=some: invert(some), where, 1)  # type: ignore[misc]
        figures[name]["seconds_per_second"] = took / TIMED / seconds
    return {f"{figure}_{name}": figures[name][figure] for figure in figures["learned"] for name in vocoders}


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=paths.RAW)
    parser.add_argument("--digits", type=Path, default=DIGITS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    for corpus, folder in (("toy", asked.pairs), ("digits", asked.digits)):
        if not (folder / "test_data").is_dir():
            print(f"{folder}: no such sounds, so nothing is measured on them")
            continue
        found = measured(folder, load(), speech=corpus == "digits")
        figures |= {f"{corpus}_{name}": value for name, value in found.items()}
    if figures:
        printing.show(figures, asked.json)


if __name__ == "__main__":
    main()
