"""Copy the models that trainings go on from, where `init` names some, once they are known to fit.

python -m stages.import_models
"""

from cycle_sound.io import stage
from cycle_sound.params import Params
from cycle_sound.training import importing


def main(params: Params) -> None:
    """Write data/init, an empty folder for each training that begins from nothing."""
    importing.take(params)


if __name__ == "__main__":
    stage.run(main)
