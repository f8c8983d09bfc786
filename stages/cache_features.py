"""Let a frozen network see every clip of one modality, once; without a network there is nothing to do.

python -m stages.cache_features image
"""

import shutil

from cycle_sound import paths
from cycle_sound.dataset import encoding, feature_cache
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import files, stage
from cycle_sound.models import features
from cycle_sound.nn import device
from cycle_sound.params import MODALITIES, Modality, Params, SplitName


def main(modality: Modality, params: Params) -> None:
    """Write the network and the features of train, in several views, and of valid; without one an empty folder."""
    folder, config = paths.features(modality), params.features.source[modality]
    shift, degradation, where = params.augment[modality], params.augment.degradation, device.best()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not config.network:
        return
    device.prepare(params.seed)
    network = features.pretrained(config).to(where)
    features.save(folder / features.NAME, network)
    digest, shards = files.digest(folder / features.NAME), read_index(paths.SHARDS).digest
    splits: dict[SplitName, int] = {"train": params.tokens.views, "valid": 1}
    for split, views in splits.items():
        pairs = Split(paths.SHARDS, split)
        seen = encoding.features(network, modality, pairs, views, shift, degradation, params.seed, where)
        header = feature_cache.Header(digest, shards, network.shape, list(pairs.ids))
        feature_cache.write(folder, split, header, views, seen)


if __name__ == "__main__":
    stage.run(main, MODALITIES)
