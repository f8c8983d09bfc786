"""Train the discrete VAE of one modality.

python -m stages.train_vae image
"""

from cycle_sound import paths
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.io import code, files, stage
from cycle_sound.models import dvae
from cycle_sound.nn import device, distributed
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.training import init
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.vae import VaeObjective, examine
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the VAE and its figures on valid; with 0 steps it is the initial model, unchanged.

    Raises `CodebookCollapse` where too few codes are in use.
    """
    device.prepare(params.seed)
    config, shift, validation = params.vae[modality], params.augment[modality], params.validation
    index, begin = read_index(paths.SHARDS), paths.init("vae", modality)
    train, valid = TrainingSet(paths.SHARDS, modality), Split(paths.SHARDS, "valid")

    channels = train.shape(modality)[0]
    model = init.begun(begin, lambda: dvae.DiscreteVAE(config, channels)).to(device.best())
    objective = VaeObjective(model, modality, (train, valid), shift, validation.pairs)
    curve = Curve(paths.curve("train_vae", modality))
    settings = [part.model_dump() for part in (config, shift, validation)]
    identity = code.identity("stages.train_vae", settings, params.seed, index.digest, init.digest(begin))
    snapshot = Snapshot(paths.snapshot("train_vae", modality), identity)
    if config.optimizer.steps:
        fit(model, objective, config.optimizer, params.seed, curve, snapshot, workers=params.loader.workers)
    else:
        curve.leave_empty("train_error", "valid_usage", "valid_perplexity")

    figures = examine(model, modality, valid, validation.pairs, index.audio.max_db - index.audio.min_db)
    if distributed.is_first():
        dvae.save(paths.vae(modality), model, train.shape(modality), index.digest, index.audio)
        files.write_json(paths.metrics("train_vae", modality), figures)
    snapshot.discard()


if __name__ == "__main__":
    stage.run(main, MODALITIES)
