"""Folders of models on the Hugging Face Hub, through its own client, which caches them and handles logins.

Downloads are not trusted: only safetensors files and their card are fetched, up to a limit, and they are read like any
exported folder, each file checked against its digest.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Concatenate, ParamSpec, TypeVar

from cycle_sound.errors import BadTarget, HubRefused, MissingPackage
from cycle_sound.inference import arguments, card, export
from cycle_sound.io import files, names

P = ParamSpec("P")
T = TypeVar("T")

MAIN = "main"  # the branch that is meant where none is named
LIBRARY = "cycle-sound"  # as the Hub counts who asks
PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"  # so that ./models and ../models are folders
NAME = re.compile(f"{PART}/{PART}")  # USER/NAME
WEIGHTS = "*.safetensors"
PATTERNS = [WEIGHTS, card.NAME, export.README]
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
    sizes = _sizes(found)
    if card.NAME not in sizes:
        raise HubRefused(name=name, reason=f"no models of this program: there is no {card.NAME}")
    if len(sizes) > MAX_FILES or sum(sizes.values()) > MAX_BYTES:
        size = f"{sum(sizes.values()) / 1e9:.3g} GB"
        raise HubRefused(name=name, reason=f"{len(sizes)} files of {size} are more than models take")
    with _transferring(name):
        folder = Path(snapshot_download(name, revision=found.sha, allow_patterns=PATTERNS, library_name=LIBRARY))
    _note(folder, revision or MAIN, str(found.sha))
    return folder


def _sizes(found: Any) -> dict[str, int]:
    """The files of a repository, as the Hub describes it, that are fetched and written here: path → bytes."""
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
    return {path: size for path, size in sizes.items() if any(fnmatch(path, pattern) for pattern in PATTERNS)}


@contextmanager
def _transferring(name: str) -> Iterator[None]:
    """Raise `HubRefused` for what goes wrong while files come or go.

    Large ones do by a library of their own, hf_xet, which raises RuntimeError and OSErrors for its network's failures.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise HubRefused(name=name, reason=names.one_line(str(error)) or type(error).__name__) from error


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
    of an earlier upload that these do not have are removed. Raises what `export` raises, `MissingPackage`
    and `HubRefused`, also for a repository with other models, or a README.md that was changed by hand.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name=LIBRARY)
    with TemporaryDirectory() as folder:
        export.export(arguments.path(source), Path(folder), license, half)
        address = api.create_repo(name, private=private, exist_ok=True)
        message = "Models of Cycle_Sound"
        found = api.model_info(name, files_metadata=True)
        _check_replaceable(name, found)
        with _transferring(name):
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                delete_patterns=[WEIGHTS],  # those of the upload before, as was checked
                commit_message=message,
                parent_commit=found.sha,  # or it is refused: what has come since was not checked
            )
    return str(address)


def _check_replaceable(name: str, found: Any) -> None:
    """Raise `HubRefused` for a repository in which anything but an earlier upload would be replaced or removed."""
    from huggingface_hub import snapshot_download

    sizes, described = _sizes(found), [card.NAME, export.README]
    if any(sizes.get(path, 0) > card.MAX_BYTES for path in described):
        raise HubRefused(name=name, reason=f"its {card.NAME} or {export.README} is none of this program")
    with TemporaryDirectory() as folder:
        if card.NAME in sizes:
            with _transferring(name):
                snapshot_download(
                    name, revision=found.sha, allow_patterns=described, local_dir=folder, library_name=LIBRARY
                )
        try:
            earlier = export.replaceable(Path(folder))
        except BadTarget:
            reason = f"its {card.NAME} or {export.README} is not as this version writes it; remove it, or name another"
            raise HubRefused(name=name, reason=reason) from None
    known = {*described, *earlier.models} if earlier else set()
    if others := sizes.keys() - known:
        raise HubRefused(name=name, reason=f"holds {min(others)} of something else; name another repository")
