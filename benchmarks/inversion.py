"""From log-mels to waveforms beside librosa: time, and how near what is heard comes to the real sound.

python -m benchmarks.inversion [--pairs FOLDER] [--json]

FOLDER holds train_data/*.mp3; by default the pairs of the last `dvc repro`. Ten seconds of sound are a few of its
sounds one after another. Spectral convergence is ‖S − |STFT(y)|‖ / ‖S‖: of the real sound's S, which asks both steps,
and of Griffin-Lim alone, which is given S.
"""

import argparse
from itertools import repeat
from pathlib import Path
from statistics import mean

import librosa
import numpy as np
import torch

from benchmarks import hardware, printing
from cycle_sound import paths
from cycle_sound.media import mel, sound_files
from cycle_sound.models import vocoder
from cycle_sound.nn import device
from cycle_sound.params import AudioConfig, VocoderConfig, load
from cycle_sound.training import fidelity

LONG = {"sample_rate": 22_050, "fft": 1024, "hop_length": 256, "mels": 80, "fmin": 0.0}
LONG_FRAMES = 861  # ten seconds
BATCHES = (1, 16)
LISTENED = 8  # sounds whose quality is measured


def sounds(folder: Path, config: AudioConfig, frames: int) -> list[np.ndarray]:
    """So many waveforms as the largest batch, of `frames` hops each."""
    samples = frames * config.hop_length
    files = iter(sorted((folder / "train_data").glob("*.mp3")))
    waves: list[np.ndarray] = []
    while len(waves) < max(BATCHES):
        wave = np.zeros(0, np.float32)
        while len(wave) < samples:
            wave = np.concatenate(
                [wave, sound_files.resample(*sound_files.decode(next(files).read_bytes()), config.sample_rate)]
            )
        waves.append(wave[:samples])
    return waves


def magnitudes(wave: np.ndarray, config: AudioConfig) -> np.ndarray:
    """(fft / 2 + 1, frames + 1)."""
    return np.abs(librosa.stft(wave, n_fft=config.fft, hop_length=config.hop_length))


def convergence(wave: np.ndarray, wanted: np.ndarray, config: AudioConfig) -> float:
    """How far the magnitudes of a waveform are from those that are wanted, as a share of their norm."""
    return float(np.linalg.norm(magnitudes(wave, config) - wanted) / np.linalg.norm(wanted))


def quality(name: str, heard: np.ndarray, real: list[np.ndarray], config: AudioConfig) -> dict[str, float]:
    """Spectral convergence and log-spectral distance (dB) of waveforms (n, samples) to the real ones."""
    pairs = list(zip(heard, real, strict=True))
    ours, theirs = (torch.from_numpy(np.stack([mel.log_mel(one, config) for one in some])) for some in (heard, real))
    return {
        f"convergence_{name}": mean(convergence(wave, magnitudes(one, config), config) for wave, one in pairs),
        f"distance_db_{name}": fidelity.log_spectral_distance(ours, theirs, config.max_db - config.min_db),
    }


def phases(real: list[np.ndarray], config: AudioConfig, rounds: int) -> dict[str, float]:
    """Spectral convergence of Griffin-Lim alone, given the magnitudes of real sounds."""
    wanted = [magnitudes(wave, config) for wave in real]
    given = torch.from_numpy(np.stack(wanted)).transpose(1, 2).contiguous()
    theirs = [by_librosa(one, config, rounds) for one in wanted]
    ours = list(vocoder.griffin_lim(given, config, rounds).numpy())
    return {
        f"convergence_phases_{name}": mean(map(convergence, waves, wanted, repeat(config)))
        for name, waves in (("librosa", theirs), ("ours", ours))
    }


def by_librosa(wanted: np.ndarray, config: AudioConfig, rounds: int) -> np.ndarray:
    """The waveform of given magnitudes, by librosa's Griffin-Lim."""
    return librosa.griffinlim(wanted, n_iter=rounds, n_fft=config.fft, hop_length=config.hop_length, random_state=0)


def measured(folder: Path, config: AudioConfig, settings: VocoderConfig, frames: int) -> dict[str, float]:
    """All figures of one setting. Times are seconds per second of sound."""
    where, waves, rounds = device.best(), sounds(folder, config, frames), settings.griffin_lim_rounds
    ours = vocoder.GriffinLim(config, settings)
    pictures = torch.from_numpy(np.stack([mel.log_mel(wave, config) for wave in waves]))
    long = frames * config.hop_length / config.sample_rate
    one = pictures[0].numpy()
    figures = {"librosa": hardware.seconds(lambda: vocoder.by_librosa(one, config, rounds), where, 3) / long}
    for batch in BATCHES:
        part = pictures[:batch].to(where)
        took = hardware.seconds(lambda part=part: ours.waveforms(part), where, 3)  # type: ignore[misc]
        figures[f"batch_{batch}"] = took / batch / long
        figures[f"ratio_batch_{batch}"] = figures["librosa"] / figures[f"batch_{batch}"]
    some = slice(0, LISTENED)
    theirs = np.stack([vocoder.by_librosa(picture, config, rounds) for picture in pictures[some].numpy()])
    figures |= quality("librosa", theirs, waves[some], config)
    figures |= quality("ours", ours.waveforms(pictures[some].to(where)).cpu().numpy(), waves[some], config)
    return figures | phases(waves[some], config, rounds)


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=paths.RAW)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    default = load()
    frames = round(default.data.clip_seconds * default.audio.sample_rate) // default.audio.hop_length
    settings = {"default": (default.audio, frames), "long": (default.audio.model_copy(update=LONG), LONG_FRAMES)}
    figures = {
        f"{setting}_{name}": value
        for setting, (config, count) in settings.items()
        for name, value in measured(asked.pairs, config, default.vocoder, count).items()
    }
    printing.show(figures, asked.json)


if __name__ == "__main__":
    main()
