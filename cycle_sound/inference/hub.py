"""Folders of models on the Hugging Face Hub, through its own client, which caches them and handles logins.

Downloads are not trusted: only safetensors files and their card are fetched, up to a limit, and they are read like any
exported folder, each file checked against its digest.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Concatenate, ParamSpec, TypeVar

from cycle_sound.errors import HubRefused, MissingPackage
from cycle_sound.inference import arguments, card, export
from cycle_sound.io import files, names

P = ParamSpec("P")
T = TypeVar("T")

MAIN = "main"  # the branch that is meant where none is named
LIBRARY = "cycle-sound"  # as the Hub counts who asks
PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"  # so that ./models and ../models are folders
NAME = re.compile(f"{PART}/{PART}")  # USER/NAME
PATTERNS = ["*.safetensors", card.NAME, export.README]
MAX_FILES = 100  # of a repository
MAX_BYTES = 1 << 33  # of all of them


def is_name(name: str) -> bool:
    """Whether a text may name a repository on the Hub: USER/NAME."""
    return NAME.fullmatch(name) is not None


def in_one_line(ask: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """A function that asks the Hub for a repository: what its client raises becomes a `HubRefused`."""

    @wraps(ask)
    def asking(name: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not is_name(name):
            raise HubRefused(name=repr(name), reason="a repository is named USER/NAME")
        try:
            from huggingface_hub import errors
        except ModuleNotFoundError:
            raise MissingPackage(feature="the Hub", package="huggingface_hub", extra="hub") from None
        try:
            return ask(name, *args, **kwargs)
        except (
            errors.HTTPError,
            errors.EntryNotFoundError,  # the network went while files came
            errors.FileMetadataError,
            errors.HFValidationError,
            errors.OfflineModeIsEnabled,
        ) as error:
            raise HubRefused(name=name, reason=names.one_line(str(error)) or type(error).__name__) from error

    return asking


@in_one_line
def download(name: str, revision: str | None = None) -> Path:
    """The folder of a repository's models, fetched unless it was before; without a network, as it was fetched last.

    `revision`: a branch, tag or commit; None: main. What was looked at is fetched, and not what a branch has become
    since. Raises `HubRefused` and `MissingPackage`.
    """
    from huggingface_hub import HfApi, errors, snapshot_download

    try:
        found = HfApi(library_name=LIBRARY).model_info(name, revision=revision, files_metadata=True)
    except errors.HfHubHTTPError:  # an answer
        raise
    except (errors.HTTPError, errors.OfflineModeIsEnabled):  # none
        return _kept(name, revision)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
    sizes = {path: size for path, size in sizes.items() if any(fnmatch(path, pattern) for pattern in PATTERNS)}
    if card.NAME not in sizes:
        raise HubRefused(name=name, reason=f"no models of this program: there is no {card.NAME}")
    if len(sizes) > MAX_FILES or sum(sizes.values()) > MAX_BYTES:
        size = f"{sum(sizes.values()) / 1e9:.3g} GB"
        raise HubRefused(name=name, reason=f"{len(sizes)} files of {size} are more than models take")
    folder = Path(snapshot_download(name, revision=found.sha, allow_patterns=PATTERNS, library_name=LIBRARY))
    _note(folder, revision or MAIN, str(found.sha))
    return folder


def _note(folder: Path, revision: str, commit: str) -> None:
    """Note which commit a revision is, as the Hub's cache has it, by which `_kept` finds the folder of its models.

    https://huggingface.co/docs/hub/local-cache
    """
    refs = folder.parent.parent / "refs"
    path = refs / revision
    if revision == commit or not path.resolve().is_relative_to(refs.resolve()):
        return
    with suppress(OSError):  # a cache that others keep holds the models all the same
        if not path.is_file() or path.read_text() != commit:
            files.write_bytes(path, commit.encode())


def _kept(name: str, revision: str | None) -> Path:
    """The folder of models that were fetched before. Raises `HubRefused`."""
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=PATTERNS, local_files_only=True))
    except errors.LocalEntryNotFoundError:
        raise HubRefused(name=name, reason="no answer, and these models were not fetched before") from None


@in_one_line
def upload(name: str, source: str | Path, license: str = "", private: bool = False, half: bool = False) -> str:
    """Export the models of a folder to a repository, which is made if it is not there; returns its address.

    `license`, `half`: as `export` takes them; `private`: where the repository is new, for nobody else to see. Models
    that the repository had before and these do not have are removed from it. Raises what `export` raises, `HubRefused`
    and `MissingPackage`.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name=LIBRARY)
    with TemporaryDirectory() as folder:
        export.export(arguments.path(source), Path(folder), license, half)
        address = api.create_repo(name, private=private, exist_ok=True)
        message = "Models of Cycle_Sound"
        api.upload_folder(repo_id=name, folder_path=folder, delete_patterns=PATTERNS, commit_message=message)
    return str(address)
