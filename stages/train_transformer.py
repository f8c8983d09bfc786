"""Train the transformer of one direction.

python -m stages.train_transformer audio_to_image
"""

from cycle_sound import command, device, distributed, dvae, files, paths, transformer
from cycle_sound.objectives.transformer import Side, TransformerObjective
from cycle_sound.params import DIRECTIONS, Direction, Params, source_of, target_of
from cycle_sound.shards import Split, SplitName, read_index
from cycle_sound.snapshot import Snapshot
from cycle_sound.tokens import TokenCache
from cycle_sound.training import Curve, fit


@distributed.joined()
def main(direction: Direction, params: Params) -> None:
    """Write the transformer and its figures on valid."""
    device.prepare(params.seed)
    source, target = source_of(direction), target_of(direction)
    config = params.transformer[direction]
    vaes = {modality: files.digest(paths.vae(modality)) for modality in (source, target)}
    shards = read_index(paths.SHARDS)["digest"]

    def side(split: SplitName) -> Side:
        caches = [TokenCache(paths.tokens(modality), split, vaes[modality], shards) for modality in (source, target)]
        return Side(Split(paths.SHARDS, split), *caches)

    train, valid = side("train"), side("valid")
    shapes = transformer.Shapes(
        source_grid=train.source.header.grid,
        source_codebook=train.source.header.codebook_size,
        source_picture=train.pictures.shape(source),
        target_grid=train.target.header.grid,
        target_codebook=train.target.header.codebook_size,
        target_picture=train.pictures.shape(target),
    )
    model = transformer.Transformer(config, shapes).to(device.best())
    decode = dvae.load(paths.vae(target)).to(device.best()).decode_relaxed if config.reconstruction_weight else None
    objective = TransformerObjective(model, direction, (train, valid), params.augment, params.seed, decode)
    curve = Curve(paths.curve("train_transformer", direction), paths.live("train_transformer", direction))
    identity = files.identity(config.model_dump(), params.augment.model_dump(), params.seed, shards, vaes)
    snapshot = Snapshot(paths.snapshot("train_transformer", direction), identity)
    figures = fit(model, objective, config.optimizer, params.seed, curve, snapshot)

    if distributed.is_first():
        transformer.save(paths.transformer(direction), model, vaes)
        files.write_json(paths.metrics("train_transformer", direction), figures)
    snapshot.discard()


if __name__ == "__main__":
    command.run(main, DIRECTIONS)
