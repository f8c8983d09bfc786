"""Train the judge of one modality, on real data: a second classifier that is used for evaluation only.

python -m stages.train_judge image
"""

from cycle_sound import paths
from cycle_sound.io import stage
from cycle_sound.nn import distributed
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.training import classification


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the judge, of other random weights and batches than the classifier."""
    network = params.features.judge[modality]
    classification.train(
        "train_judge",
        modality,
        paths.judge(modality),
        params.judge,
        params.augment,
        params.validation,
        seed=params.seed + 1,
        workers=params.loader.workers,
        reads=network if network.network else None,
    )


if __name__ == "__main__":
    stage.run(main, MODALITIES)
