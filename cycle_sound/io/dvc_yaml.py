"""Write the code that each stage reaches among its dependencies in dvc.yaml; all else in the file stays as it is.

python -m cycle_sound.io.dvc_yaml
"""

import re
from collections.abc import Iterable
from pathlib import Path

from cycle_sound.io import code, files

BEGIN = "# code: written by `make dvc.yaml`"
END = "# end of code"
BLOCK = re.compile(rf"^( +){BEGIN}\n.*?^ +{END}\n", re.DOTALL | re.MULTILINE)
STAGE = re.compile(r"(?=^  \w+:\n)", re.MULTILINE)


def written(text: str) -> str:
    """The content of dvc.yaml with the code of every stage between its two marks."""
    return "".join(_stage(part) for part in STAGE.split(text))


def declared(paths: Iterable[Path]) -> list[str]:
    """Files relative to the project's root as dependencies: a folder stands for them where nothing else lies in it.

    An __init__.py that holds a docstring alone may lie there, too.
    """
    wanted = set(paths)
    whole = {folder for path in wanted for folder in path.parents[:-1] if _holds_no_other(folder, wanted)}
    highest = [folder for folder in whole if not whole & set(folder.parents)]
    single = [path for path in wanted if not whole & set(path.parents)]
    return sorted(path.as_posix() for path in (*highest, *single))


def _holds_no_other(folder: Path, wanted: set[Path]) -> bool:
    inside = code.lying_in(code.ROOT / folder)
    return all(path.name == "__init__.py" or path.relative_to(code.ROOT) in wanted for path in inside)


def _stage(text: str) -> str:
    """One stage, from its name on, with its code."""

    def block(match: re.Match[str]) -> str:
        module = f"stages.{text.split(':')[0].strip()}"
        entries = [BEGIN, *(f"- {path}" for path in declared(code.reached(module))), END]
        return "".join(f"{match[1]}{entry}\n" for entry in entries)

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    path = code.ROOT / "dvc.yaml"
    files.write_bytes(path, written(path.read_text(encoding="utf-8")).encode())
