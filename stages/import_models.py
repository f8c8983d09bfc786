"""Copy the models that trainings go on from, where `init` names some, once they are known to fit.

python -m stages.import_models

Other folders may change, or vanish: copies are what DVC knows.
"""

import shutil
from pathlib import Path

from cycle_sound import paths
from cycle_sound.errors import NotEmptied
from cycle_sound.io import files, stage
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Write data/init, an empty folder for each training that begins from nothing.

    Nothing is removed or copied where one of the models does not fit: see `importing.checked` for what is raised then.
    """
    named = dict[Path, Path]()
    if params.init.names_any():
        from cycle_sound.training import importing  # here, since most builds name none: PyTorch takes a second to load

        named = importing.checked(params)
    for folder in paths.inits():
        files.empty(folder)
        if left := next(folder.iterdir(), None):  # as in a link to a folder, or in one of another user
            raise NotEmptied(path=left)
    for folder, path in named.items():
        with files.replacing(folder / paths.INIT_NAME, path.stat().st_size) as part:
            shutil.copyfile(path, part)


if __name__ == "__main__":
    stage.run(main)
