"""Train the classifier that labels generated samples of one modality, on real data.

python -m stages.train_classifier image
"""

from cycle_sound import paths
from cycle_sound.io import stage
from cycle_sound.nn import distributed
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.training import classification


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the classifier."""
    classification.train(
        "train_classifier",
        modality,
        paths.classifier(modality),
        params.classifier,
        params.augment,
        params.validation,
        seed=params.seed,
        workers=params.loader.workers,
    )


if __name__ == "__main__":
    stage.run(main, MODALITIES)
