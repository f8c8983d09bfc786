"""`python -m cycle_sound` is `cycle-sound`."""

from cycle_sound.app.cli import run

run()
