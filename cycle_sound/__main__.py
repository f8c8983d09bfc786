"""`cycle-sound`, and `python -m cycle_sound`: an interrupt ends both in one line, also while they are being loaded."""

from cycle_sound.io import interrupts


def run() -> None:
    """Run the command that is given."""
    interrupts.in_one_line(interrupts.STOPPED)
    from cycle_sound.app import cli

    cli.run()


if __name__ == "__main__":
    run()
