"""Train the discrete VAE of one modality.

python -m stages.train_vae image
"""

from cycle_sound import command, device, distributed, dvae, files, paths
from cycle_sound.objectives.vae import VaeObjective, examine
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.shards import Split, read_index
from cycle_sound.snapshot import Snapshot
from cycle_sound.training import Curve, fit


@distributed.joined()
def main(modality: Modality, params: Params) -> None:
    """Write the VAE and its figures on valid. Raises `CodebookCollapse` where too few codes are in use."""
    device.prepare(params.seed)
    index = read_index(paths.SHARDS)
    train, valid = Split(paths.SHARDS, "train"), Split(paths.SHARDS, "valid")
    config = params.vae[modality]

    model = dvae.DiscreteVAE(config, train.shape(modality)[0]).to(device.best())
    objective = VaeObjective(model, modality, (train, valid), params.augment[modality], params.seed)
    curve = Curve(paths.curve("train_vae", modality), paths.live("train_vae", modality))
    identity = files.identity(config.model_dump(), params.augment[modality].model_dump(), params.seed, index["digest"])
    snapshot = Snapshot(paths.snapshot("train_vae", modality), identity)
    fit(model, objective, config.optimizer, params.seed, curve, snapshot)

    figures = examine(model, modality, valid, index["audio"]["max_db"] - index["audio"]["min_db"])
    if distributed.is_first():
        dvae.save(paths.vae(modality), model, train.shape(modality), index)
        files.write_json(paths.metrics("train_vae", modality), figures)
    snapshot.discard()


if __name__ == "__main__":
    command.run(main, MODALITIES)
