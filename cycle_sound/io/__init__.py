"""Files, names, progress and the start of a stage: what every room uses, and no tensor."""
