"""The curve of a training that does not take place. Without PyTorch, so that a stage with nothing to do starts fast."""

from pathlib import Path

from cycle_sound.io import files

COLUMNS = ("step", "train_loss", "valid_loss")  # of every curve


def write(path: Path, *columns: str) -> None:
    """Write a file of no rows with the COLUMNS and more; the plots name them all the same."""
    files.write_bytes(path, (",".join((*COLUMNS, *columns)) + "\n").encode())
