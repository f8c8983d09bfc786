"""The command `cycle-sound`: what one asks of a project beside `dvc`."""

import typer

from cycle_sound import data_report, manifest, paths

app = typer.Typer(help="Look at what Cycle_Sound has made. Run it in the project's folder.", no_args_is_help=True)
data = typer.Typer(help="The pairs.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.command()
def report() -> None:
    """Print how many clips of each label were asked for, are in train and in test, and were rejected, and why."""
    try:
        rows = manifest.read(paths.MANIFEST)
    except FileNotFoundError:
        raise _end(f"no such file: {paths.MANIFEST}; make it by `dvc repro download`") from None
    except ValueError as error:
        raise _end(str(error)) from None
    print(data_report.text(rows))


@app.callback()
def _app() -> None:
    """Commands in groups, even while there is one."""


def _end(message: str) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(1)


if __name__ == "__main__":
    app()
