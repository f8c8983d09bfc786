"""The stages of the pipeline: thin, importable scripts, each run as `python -m stages.NAME`."""

import sys

from cycle_sound.io import interrupts

if sys.argv[0] == "-m":  # as it is while Python looks for the module that it will run
    interrupts.in_one_line()
