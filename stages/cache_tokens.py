"""Turn every clip of one modality that a training sees into tokens, once.

python -m stages.cache_tokens image

Processes that a launcher starts share the shards. Those finished by an earlier run that was killed are kept.
"""

import shutil
from functools import partial

from cycle_sound import paths
from cycle_sound.dataset import caching, encoding, reader, token_cache
from cycle_sound.dataset.caching import CachedSplit
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import code, stage
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn import device, distributed
from cycle_sound.params import MODALITIES, Modality, Params, SplitName


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the tokens of what is learned from, in several views, and of valid."""
    device.prepare(params.seed)
    folder, config, shift, where = paths.tokens(modality), params.tokens, params.augment[modality], device.best()
    tokenizer, index = load_tokenizer(paths.vae(modality), where), read_index(paths.SHARDS)

    def cached(split: SplitName, views: int) -> CachedSplit:
        pairs = Split(paths.SHARDS, split)
        header = token_cache.Header(tokenizer.digest, index.digest, tokenizer.codes, len(pairs))
        encode = partial(
            encoding.codes,
            tokenizer.model,
            modality,
            pairs,
            views=views,
            top=config.top,
            shift=shift,
            seed=params.seed,
            device=where,
        )
        return CachedSplit(split, header, token_cache.arrays(header, views, config.top), pairs.shards(), encode)

    parts = config.model_dump(), shift.model_dump(), params.seed, tokenizer.digest
    identity = code.identity("stages.cache_tokens", *parts)
    if distributed.is_first():
        shutil.rmtree(folder, ignore_errors=True)
    learned = reader.learned(paths.SHARDS, modality)
    splits = [*(cached(split, config.views) for split in learned), cached("valid", 1)]
    caching.make(folder, paths.unfinished("cache_tokens", modality), splits, identity, index.files)


if __name__ == "__main__":
    stage.run(main, MODALITIES)
