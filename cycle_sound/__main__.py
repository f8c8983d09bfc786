"""`python -m cycle_sound` is `cycle-sound`."""

from cycle_sound.app.cli import app

app(prog_name="cycle-sound")
