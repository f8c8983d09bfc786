"""Let a frozen network see one side of every pair of train and valid, once; without one there is nothing to do.

python -m stages.cache_features image
"""

import shutil

from cycle_sound import paths
from cycle_sound.io import files, stage
from cycle_sound.params import MODALITIES, Modality, Params


def main(modality: Modality, params: Params) -> None:
    """Write the network and the features of train, in several views, and of valid.

    Without a network the folder stays empty.
    """
    if params.features.source[modality].network:
        from cycle_sound.dataset import feature_caching  # here, since an empty folder needs no PyTorch

        feature_caching.make(modality, params)
        return
    if not stage.is_first():  # of the processes that a launcher has started
        return
    files.empty(paths.features(modality))
    shutil.rmtree(paths.unfinished("cache_features", modality), ignore_errors=True)


if __name__ == "__main__":
    stage.run(main, MODALITIES)
