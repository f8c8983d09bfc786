"""Train the learned vocoder.

python -m stages.train_vocoder
"""

import shutil
from itertools import chain

from cycle_sound import paths
from cycle_sound.acquisition import restoring
from cycle_sound.dataset import lone_sounds, reader, sounds
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import code, files, stage
from cycle_sound.models import learned_vocoder
from cycle_sound.nn import device, distributed
from cycle_sound.params import Params
from cycle_sound.training import init
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.vocoder import VocoderObjective
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(params: Params) -> None:
    """Write the vocoder and its figures on valid."""
    device.prepare(params.seed)
    config, index, begin = params.vocoder.learned, read_index(paths.SHARDS), paths.init("vocoder")

    alone, work = reader.lone(paths.SHARDS, "audio"), paths.unfinished("train_vocoder")
    if alone and distributed.is_first():
        lone_sounds.find(alone, paths.RAW, work / "lone_sounds.npy")
    distributed.barrier()
    more = lone_sounds.Originals(alone, work / "lone_sounds.npy") if alone else ()
    train = sounds.of(Split(paths.SHARDS, "train"), paths.RAW, index.audio, more)
    valid = sounds.of(Split(paths.SHARDS, "valid"), paths.RAW, index.audio)
    if distributed.is_first():
        restoring.restore(chain(train.originals, valid.originals), paths.RAW, params)
    distributed.barrier()

    model = init.begun(begin, lambda: learned_vocoder.LearnedVocoder(config, index.audio)).to(device.best())
    objective = VocoderObjective(model, (train, valid), config)
    curve = Curve(paths.curve("train_vocoder"))
    identity = code.identity("stages.train_vocoder", config.model_dump(), params.seed, index.digest, init.digest(begin))
    snapshot = Snapshot(paths.snapshot("train_vocoder"), identity)
    figures = fit(model, objective, config.optimizer, params.seed, curve, snapshot, workers=params.loader.workers)

    if distributed.is_first():
        learned_vocoder.save(paths.vocoder(), model)
        files.write_json(paths.metrics("train_vocoder"), figures)
        shutil.rmtree(work, ignore_errors=True)
    snapshot.discard()


if __name__ == "__main__":
    stage.run(main)
