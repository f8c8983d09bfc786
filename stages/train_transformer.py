"""Train the transformer of one direction.

python -m stages.train_transformer audio_to_image
"""

from cycle_sound import paths
from cycle_sound.dataset.reader import read_index
from cycle_sound.io import code, files, stage
from cycle_sound.models import features, transformer
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn import device, distributed
from cycle_sound.params import DIRECTIONS, Direction, Params, source_of, target_of
from cycle_sound.training import init, transformer_data
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.transformer import AugmentedPairs, TransformerObjective
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(direction: Direction, params: Params) -> None:
    """Write the transformer and its figures on valid."""
    device.prepare(params.seed)
    config, augment, validation = params.transformer[direction], params.augment, params.validation
    source, target = source_of(direction), target_of(direction)
    tokenizers = {modality: load_tokenizer(paths.vae(modality), device.best()) for modality in (source, target)}
    digests = {modality: tokenizer.digest for modality, tokenizer in tokenizers.items()}
    shards = read_index(paths.SHARDS).digest
    network = files.digest(paths.features(source) / features.NAME) if config.condition == "features" else ""
    train, valid = (
        transformer_data.of_pairs(direction, split, digests, network, shards) for split in ("train", "valid")
    )
    shapes = transformer.Shapes(
        source_codes=tokenizers[source].codes,
        source_picture=tokenizers[source].picture,
        target_codes=tokenizers[target].codes,
        target_picture=tokenizers[target].picture,
        source_features=train.features.header.shape if train.features else None,
    )
    device.prepare(params.seed)  # building the tokenizers took random numbers
    begin = paths.init("transformer", direction)
    model = init.begun(begin, lambda: transformer.Transformer(config, shapes)).to(device.best())
    decode = tokenizers[target].model.decode_relaxed if config.reconstruction_weight else None
    pairs = AugmentedPairs(train, direction, config.condition, shapes.source_codes, augment)
    objective = TransformerObjective(model, direction, pairs, valid, validation.pairs, decode)
    curve = Curve(paths.curve("train_transformer", direction), columns=["valid_shuffled"])
    settings = [part.model_dump() for part in (config, augment, validation)]
    left = train.pairing.digest if train.pairing else ""
    cached = transformer_data.cached_by(params.tokens)
    known = params.seed, shards, digests, network, cached, left, init.digest(begin)
    identity = code.identity("stages.train_transformer", settings, *known)
    snapshot = Snapshot(paths.snapshot("train_transformer", direction), identity)
    workers, parallel = params.loader.workers, params.parallel
    figures = fit(model, objective, config.optimizer, params.seed, curve, snapshot, workers=workers, parallel=parallel)

    if distributed.is_first():
        transformer.save(paths.transformer(direction), model, digests, network)
        files.write_json(paths.metrics("train_transformer", direction), figures)
    snapshot.discard()


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
