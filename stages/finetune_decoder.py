"""Fine-tune the decoder of one modality's VAE on its codes, against a discriminator.

python -m stages.finetune_decoder image
"""

from cycle_sound import paths
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.io import code, files, stage
from cycle_sound.models import dvae
from cycle_sound.models.dvae import Decoder, DiscreteVAE
from cycle_sound.nn import device, distributed
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.decoder import Adversaries, DecoderObjective
from cycle_sound.training.objectives.discriminator import Discriminator
from cycle_sound.training.objectives.vae import figures, likeness, reconstruct
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the decoder, and the figures of the VAE with it on valid.

    Where none is wanted the folder stays empty, and the figures are those of the VAE's own.
    """
    device.prepare(params.seed)
    folder, index, valid = paths.decoder(modality), read_index(paths.SHARDS), Split(paths.SHARDS, "valid")
    vae = dvae.load(paths.vae(modality))[0].to(device.best())
    curve, snapshot = Curve(paths.curve("finetune_decoder", modality)), _snapshot(modality, params, index.digest)
    if params.decoder[modality].adversarial:
        vae.decoder = finetuned(vae, modality, valid, params, curve, snapshot)
    else:
        curve.leave_empty("train_feature_matching", "train_discriminator")

    measure = likeness(modality, index.audio.max_db - index.audio.min_db)
    hard = reconstruct(vae, modality, valid, params.validation.pairs, measure)
    if distributed.is_first():
        files.empty(folder)
        if params.decoder[modality].adversarial:
            dvae.save_decoder(folder / dvae.DECODER_NAME, vae.decoder, paths.vae(modality))
        files.write_json(paths.metrics("finetune_decoder", modality), figures(hard))
    snapshot.discard()


def finetuned(
    vae: DiscreteVAE, modality: Modality, valid: Split, params: Params, curve: Curve, snapshot: Snapshot
) -> Decoder:
    """Fine-tune the VAE's decoder in place and return it."""
    config, shift, pairs = params.decoder[modality], params.augment[modality], params.validation.pairs
    train, where = TrainingSet(paths.SHARDS, modality), device.of(vae)
    discriminator = Discriminator(train.shape(modality)[0], config.discriminator_width).to(where)
    model = Adversaries(vae.decoder, discriminator)
    objective = DecoderObjective(model, vae, modality, (train, valid), shift, config, pairs)
    fit(model, objective, config.optimizer, params.seed, curve, snapshot, workers=params.loader.workers)
    return model.decoder


def _snapshot(modality: Modality, params: Params, shards: str) -> Snapshot:
    settings = params.decoder[modality], params.augment[modality], params.validation
    known = [part.model_dump() for part in settings], params.seed, shards, files.digest(paths.vae(modality))
    return Snapshot(paths.snapshot("finetune_decoder", modality), code.identity("stages.finetune_decoder", *known))


if __name__ == "__main__":
    stage.run(main, MODALITIES)
