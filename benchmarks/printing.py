"""How a benchmark says what it found."""

import json
from collections.abc import Mapping


def show(figures: Mapping[str, float], as_json: bool) -> None:
    """Print a line per figure, and with `as_json` one JSON object as the last line."""
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}} {value:.4g}")
    if as_json:
        print(json.dumps(figures))
