"""What models know, in a sentence for whoever is about to use them."""

from cycle_sound.inference.bundle import Models
from cycle_sound.io import names

NAMED = 12  # labels; of more the rest is counted


def sentence(models: Models) -> str:
    """What models have learned to tell apart, and what they make."""
    made = f"Pictures have {models.size} × {models.size} pixels; a sound lasts {models.seconds:.1f} s."
    classifier = models.classifiers["image"] or models.classifiers["audio"]
    if classifier is None:
        return f"These models were trained on data without labels. {made}"
    labels = [names.one_line(label) for label in classifier.labels]
    named = ", ".join(labels[:NAMED]) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
    return f"These models know {len(labels)} kinds: {named}. They take anything else for one of these. {made}"
