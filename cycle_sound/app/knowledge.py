"""What models know and what they do not, in sentences for whoever uses them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cycle_sound.io import names

if TYPE_CHECKING:  # torch, for which `--help` must not wait
    from cycle_sound.inference.bundle import Models
    from cycle_sound.inference.system import CycleSound, Thing

NAMED = 12  # labels; of more the rest is counted
SOUNDLESS = "has no sound that can be kept"  # a film
FAMILIAR = 0.5  # probability; what is likelier unlike the training data than like it is worth a warning


def sentence(models: "Models") -> str:
    """What models have learned to tell apart, and what they make."""
    made = f"Pictures have {models.size} × {models.size} pixels; a sound lasts {models.seconds:.1f} s."
    classifier = models.classifiers["image"] or models.classifiers["audio"]
    if classifier is None:
        return f"These models were trained on data without labels. {made}"
    labels = [names.one_line(label) for label in classifier.labels]
    named = ", ".join(labels[:NAMED]) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
    return f"These models know {len(labels)} kinds: {named}. They take anything else for one of these. {made}"


def warning(system: "CycleSound", name: str | Path, sources: "Sequence[Thing]") -> str | None:
    """That a file is unlike the training data, by the mean familiarity of the sounds or pictures in it.

    None for a familiar one, for no sources, and where the models cannot tell.
    """
    return unfamiliar(name, system.familiarities(sources))


def unfamiliar(name: str | Path, found: Sequence[float] | None) -> str | None:
    """`warning` of a file by what `CycleSound.familiarities` has found of the sounds or pictures in it."""
    if not found or (mean := sum(found) / len(found)) >= FAMILIAR:
        return None
    return f"{name} is unlike the training data (familiarity {mean:.2f}): what is made of it means little"
