"""The stages of the pipeline: thin, importable scripts, each run as `python -m stages.NAME`."""

from cycle_sound.io import interrupts

interrupts.in_one_line()
