"""Drop the worst training pairs by the audit, where it is wanted.

python -m stages.drop_pairs

Dropping is a stage of its own, so another fraction does not repeat the audit, and an audit that drops nothing does not
repeat a training.
"""

from cycle_sound import paths
from cycle_sound.dataset import dropping
from cycle_sound.io import files, stage
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Write which pairs are left, and the fate of the others; where all are left an empty folder."""
    files.empty(paths.PAIRING)
    if params.data.drop_worst:
        dropping.drop(paths.AUDIT, paths.PAIRING, params.data.drop_worst)


if __name__ == "__main__":
    stage.run(main)
