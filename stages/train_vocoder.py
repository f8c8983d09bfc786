"""Train the learned vocoder.

python -m stages.train_vocoder
"""

from cycle_sound import paths
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.sounds import Sounds
from cycle_sound.io import code, files, stage
from cycle_sound.models import learned_vocoder
from cycle_sound.nn import device, distributed
from cycle_sound.params import Params, SplitName
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.vocoder import VocoderObjective
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(params: Params) -> None:
    """Write the vocoder and its figures on valid."""
    device.prepare(params.seed)
    config, index = params.vocoder.learned, read_index(paths.SHARDS)

    def sounds(split: SplitName) -> Sounds:
        pairs, folder = Split(paths.SHARDS, split), paths.RAW / "train_data"
        return Sounds(folder, pairs.ids, pairs.shape("audio")[2] * index.audio.hop_length, index.audio.sample_rate)

    model = learned_vocoder.LearnedVocoder(config, index.audio).to(device.best())
    objective = VocoderObjective(model, (sounds("train"), sounds("valid")))
    curve = Curve(paths.curve("train_vocoder"))
    identity = code.identity("stages.train_vocoder", config.model_dump(), params.seed, index.digest)
    snapshot = Snapshot(paths.snapshot("train_vocoder"), identity)
    figures = fit(model, objective, config.optimizer, params.seed, curve, snapshot, params.loader.workers)

    if distributed.is_first():
        learned_vocoder.save(paths.vocoder(), model)
        files.write_json(paths.metrics("train_vocoder"), figures)
    snapshot.discard()


if __name__ == "__main__":
    stage.run(main)
