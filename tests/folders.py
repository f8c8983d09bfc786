"""What folders hold, and files and links of the user's in them."""

import os
from pathlib import Path

from pipelines import untimed

from cycle_sound import paths
from cycle_sound.acquisition import sources
from cycle_sound.io import files, params_file

ROOT = Path(__file__).resolve().parents[1]
PRECIOUS = b"precious"


def tree(root: Path) -> dict[str, bytes | str]:
    """Every file's content, and where every link leads; but for the journal, which is the program's own."""
    found = [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in found
        if path.name not in ("params.yaml", paths.JOURNAL.name)
    }


def linked(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target, target_is_directory=True)


def made_pairs(tmp_path: Path) -> Path:
    """A folder with one good pair in each split."""
    params = params_file.load(ROOT / "params.yaml")
    for clip in sources.clips(params.data, params.audio.sample_rate, 1)[:2]:
        split = "train" if clip.id.endswith("0") else "test"
        pair = clip.fetch()
        files.write_bytes(tmp_path / f"own/{split}_data/own.jpg", pair.picture)
        files.write_bytes(tmp_path / f"own/{split}_data/own.mp3", pair.sound)
    return tmp_path / "own"


def fill(root: Path, **contents: bytes | str) -> None:
    """Write files, by their paths in a folder."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, as `untimed` has it."""
    return {str(path.relative_to(folder)): untimed(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def digested(folder: Path) -> dict[str, str]:
    """Every file of a folder without others, hidden ones too: name → digest."""
    return {path.name: files.digest(path) for path in folder.iterdir()}
