"""Recordings that do not come with the project: those in a folder `shared` next to the checkout, if there is one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
CASES = SHARED / "cases"  # single files that were once read wrongly
DIGITS = SHARED / "data/spoken-digits"  # pairs of a spoken digit and its picture, with labels.csv
VGGSOUND = SHARED / "data/vggsound"  # test.csv, its real list, and videos/


def needs(place: Path) -> pytest.MarkDecorator:
    """Skip a test where a file or folder of those is not there."""
    return pytest.mark.skipif(not place.exists(), reason=f"needs ../{place.relative_to(ROOT.parent)}")
