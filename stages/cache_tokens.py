"""Turn every clip of one modality into tokens, once.

python -m stages.cache_tokens image
"""

from cycle_sound import paths
from cycle_sound.dataset import encoding, token_cache
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import stage
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn import device
from cycle_sound.params import MODALITIES, SPLITS, Modality, Params


def main(modality: Modality, params: Params) -> None:
    """Write the tokens of all splits, with views of the training clips."""
    device.prepare(params.seed)
    config, shift, where = params.tokens, params.augment[modality], device.best()
    tokenizer = load_tokenizer(paths.vae(modality), where)
    shards = read_index(paths.SHARDS).digest
    for split in SPLITS:
        pairs = Split(paths.SHARDS, split)
        views = config.views if split == "train" else 1
        arrays = encoding.encode(tokenizer.model, modality, pairs, views, config.top, shift, params.seed, where)
        header = token_cache.Header(tokenizer.digest, shards, tokenizer.codes, list(pairs.ids))
        token_cache.write(paths.tokens(modality), split, header, *arrays)


if __name__ == "__main__":
    stage.run(main, MODALITIES)
