"""Sound into pictures and pictures into sound: `from cycle_sound import CycleSound`."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cycle_sound.inference.system import CycleSound

__all__ = ["CycleSound"]

os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # the CPU does what Apple's GPU lacks; read as torch loads

# How often a waiting thread checks before it sleeps, read as torch loads GNU's OpenMP. The default, 300,000 times, is
# milliseconds, in which processes on the same cores keep each other from working. A training step on two newer cores
# takes, alone and beside another: with 400 checks 139 and 465 ms, with 1,000 125 and 515, with 2,000 118 and 558.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    """Load the models' code when it is asked for: workers and `--help` import this package, and need no torch."""
    if name in __all__:
        return getattr(import_module("cycle_sound.inference.system"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is here, also before it is loaded: for `help` and completion."""
    return [*globals(), *__all__]
