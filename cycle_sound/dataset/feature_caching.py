"""The cache of features, made: a frozen network sees every clip of one modality, in several views.

Processes that a launcher starts share the shards. Those finished by an earlier run that was killed are kept.
"""

from functools import partial

from cycle_sound import paths
from cycle_sound.dataset import caching, encoding, feature_cache
from cycle_sound.dataset.caching import CachedSplit
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import code, files
from cycle_sound.models import features
from cycle_sound.nn import device, distributed
from cycle_sound.params import Modality, Params, SplitName


@distributed.process_group()
def make(modality: Modality, params: Params) -> None:
    """Write a source's network and the features of train, in several views, and of valid."""
    folder, config = paths.features(modality), params.features.source[modality]
    shift, degradation, where = params.augment[modality], params.augment.degradation, device.best()
    device.prepare(params.seed)
    network = features.pretrained(config).to(where)
    if distributed.is_first():
        files.empty(folder)
        features.save(folder / features.NAME, network)
    distributed.barrier()
    digest, index = files.digest(folder / features.NAME), read_index(paths.SHARDS)

    def cached(split: SplitName, views: int) -> CachedSplit:
        pairs = Split(paths.SHARDS, split)
        header = feature_cache.Header(digest, index.digest, network.shape, len(pairs))
        encode = partial(
            encoding.features,
            network,
            modality,
            pairs,
            views=views,
            shift=shift,
            degradation=degradation,
            seed=params.seed,
            device=where,
        )
        return CachedSplit(split, header, feature_cache.arrays(header, views), pairs.shards(), encode)

    splits = [cached("train", params.tokens.views), cached("valid", 1)]  # a clip alone is the source of no target
    parts = params.tokens.views, shift.model_dump(), degradation.model_dump(), params.seed, digest
    identity = code.identity("stages.cache_features", *parts)
    caching.make(folder, paths.unfinished("cache_features", modality), splits, identity, index.files)
