"""Copy what generates to one folder, with a card: it works with --models, without the project, DVC or a network.

python -m stages.export
"""

from cycle_sound import paths
from cycle_sound.inference import export
from cycle_sound.io import stage
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Export the models; the card reads all of params.yaml but for what `card.unlocated` leaves out."""
    export.export(paths.DATA, paths.MODELS)


if __name__ == "__main__":
    stage.run(main)
