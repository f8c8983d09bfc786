"""Let each direction learn from what the other draws for real targets without partners, in rounds.

python -m stages.train_cycle
"""

import shutil

from cycle_sound import paths
from cycle_sound.io import files, stage
from cycle_sound.params import DIRECTIONS, Params
from cycle_sound.training import empty_curve

COLUMNS = ("train_cross_entropy", "valid_shuffled")  # of a curve, as the plots name them


def main(params: Params) -> None:
    """Write the generators, their curves and figures; without rounds the transformers as they are."""
    if params.cycle.rounds:
        from cycle_sound.back_translation import rounds  # here, since a copy needs no PyTorch, which takes a second

        rounds.teach(params)
        return
    if not stage.is_first():  # of the processes that a launcher has started
        return
    for direction in DIRECTIONS:
        files.write_bytes(paths.cycle(direction), paths.transformer(direction).read_bytes())
        empty_curve.write(paths.curve("train_cycle", direction), *COLUMNS)
    files.write_json(paths.metrics("train_cycle"), {"rounds": 0})
    shutil.rmtree(paths.unfinished("train_cycle"), ignore_errors=True)


if __name__ == "__main__":
    stage.run(main)
