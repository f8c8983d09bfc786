"""Sound into pictures and pictures into sound: what programs use, by `from cycle_sound import …`.

`CycleSound` makes pictures of sounds and sounds of pictures; `read_sound` and `read_picture` read files for it, and
`windows` cuts long sounds into clips. What it returns and takes: `Sound`, `Station`, `Label`, `SamplingConfig`,
`SamplingConfigs`. `export` and `upload` pass models on. `UserError` is the base of all errors that the caller can fix,
which `cycle_sound.errors` holds. All else is for those who change the program.
"""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which see through no `__getattr__`
    from cycle_sound.app.inputs import read_picture, read_sound
    from cycle_sound.errors import UserError
    from cycle_sound.inference.export import export
    from cycle_sound.inference.hub import upload
    from cycle_sound.inference.system import CycleSound, Label, Station
    from cycle_sound.media.blocks import windows
    from cycle_sound.media.sounds import Sound
    from cycle_sound.params import SamplingConfig, SamplingConfigs

__all__ = [
    "CycleSound",
    "Label",
    "SamplingConfig",
    "SamplingConfigs",
    "Sound",
    "Station",
    "UserError",
    "export",
    "read_picture",
    "read_sound",
    "upload",
    "windows",
]

MODULES = {  # where each name is defined
    "CycleSound": "cycle_sound.inference.system",
    "Label": "cycle_sound.inference.system",
    "SamplingConfig": "cycle_sound.params",
    "SamplingConfigs": "cycle_sound.params",
    "Sound": "cycle_sound.media.sounds",
    "Station": "cycle_sound.inference.system",
    "UserError": "cycle_sound.errors",
    "export": "cycle_sound.inference.export",
    "read_picture": "cycle_sound.app.inputs",
    "read_sound": "cycle_sound.app.inputs",
    "upload": "cycle_sound.inference.hub",
    "windows": "cycle_sound.media.blocks",
}

os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # the CPU does what Apple's GPU lacks; read as torch loads

# How often a waiting thread checks before it sleeps, read as torch loads GNU's OpenMP. The default, 300,000 times, is
# milliseconds, in which processes on the same cores keep each other from working. A training step on two newer cores
# takes, alone and beside another: with 400 checks 139 and 465 ms, with 1,000 125 and 515, with 2,000 118 and 558.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


# By the variables that name them: where numba, with which librosa compiles itself, and matplotlib keep files for later.
# Numba does not start where it can write neither beside librosa nor here, matplotlib complains.
CACHES = {"NUMBA_CACHE_DIR": ("XDG_CACHE_HOME", "~/.cache"), "MPLCONFIGDIR": ("XDG_CONFIG_HOME", "~/.config")}


def _writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    there = next((one for one in (folder, *folder.parents) if os.path.exists(one)), folder)
    return os.access(there, os.W_OK | os.X_OK)


def _make_caches() -> None:
    """Name a folder of this process's own, removed at its end, in place of caches that cannot be written.

    It is none of a name that others know: what numba finds in its cache, it executes.
    """
    wanted = [
        name
        for name, (variable, usual) in CACHES.items()
        if name not in os.environ and not _writable(Path(os.environ.get(variable) or os.path.expanduser(usual)) / "x")
    ]
    librosa = find_spec("librosa") if "NUMBA_CACHE_DIR" in wanted else None
    if librosa and librosa.origin and _writable(Path(librosa.origin).parent / "util/__pycache__"):
        wanted.remove("NUMBA_CACHE_DIR")
    with suppress(OSError):  # where there is no place at all
        folder = tempfile.mkdtemp(prefix="cycle_sound-") if wanted else ""
        os.environ.update(dict.fromkeys(wanted, folder))
        if folder:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)


_make_caches()


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is: workers and `--help` import this package, and need no torch."""
    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is here, also before it is loaded: for `help` and completion."""
    return [*globals(), *__all__]
