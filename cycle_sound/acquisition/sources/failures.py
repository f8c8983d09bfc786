"""Reasons why a clip could not be fetched, and the journal of the addresses that are gone for good."""

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cycle_sound.acquisition.sources.clip import Status
from cycle_sound.io import files

JOURNAL = "gone.jsonl"  # in the store: {"address": …, "reason": …}, one a line
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
OFF = ("TransportError", "SSLError", "CertificateVerifyError", "ProxyError")  # yt-dlp's, where nobody is reached

# What YouTube says of a video that is gone for good, of all that it calls unavailable, and when it has had enough.
GONE = re.compile(
    r"private video|video is private|been removed|no longer available|been terminated|isn.t available anymore"
    r"|copyright|^this video is unavailable\W*$|^video unavailable\W*$",
    re.IGNORECASE,
)
WALL = re.compile(r"not a bot|captcha|try again later|rate.limited", re.IGNORECASE)


class Failure(NamedTuple):
    """Why a clip was not fetched. Kinds: `gone` for good; `cut_off`: no answer, or one that refuses all requests."""

    kind: Literal["gone", "passing", "cut_off"]
    status: Status
    reason: str


def known(store: Path) -> dict[str, Failure]:
    """The failures in a store's journal, by address; lines that a killed run left incomplete are skipped."""
    path = store / JOURNAL
    gone = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
            gone[str(entry["address"])] = Failure("gone", "unavailable", str(entry["reason"]))
        except (ValueError, KeyError, TypeError):
            continue
    return gone


def note(store: Path, address: str, failure: Failure) -> None:
    """Add an address that is gone to a store's journal."""
    line = json.dumps({"address": address, "reason": failure.reason}, ensure_ascii=False)
    files.append(store / JOURNAL, f"\n{line}".encode())  # the line break first: behind a torn line, this one is whole


def understood(error: Exception, site: str) -> Failure:
    """Translate an exception of yt-dlp, in words without time, place or count, since manifests are compared.

    Raises the OSError of a full or read-only disk, which is no fault of the clip.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in DISK:
            raise cause
        match type(cause).__name__:
            case "HTTPError":
                return _http_failure(cause, site)
            case "UnsupportedError":
                return Failure("passing", "unavailable", "no video file at the address")
            case "IncompleteRead" | "ContentTooShortError":
                return Failure("passing", "unavailable", "the connection broke off")
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in _causes(error)):
        return Failure("cut_off", "unavailable", "the connection stalled")
    if any(type(cause).__name__ in OFF for cause in _causes(error)):
        return Failure("cut_off", "unavailable", "no connection")
    said = getattr(next(iter(_causes(error)), error), "orig_msg", str(error)).removeprefix("ERROR: ")
    return _said_failure(said, site)


def _http_failure(error: Any, site: str) -> Failure:
    reason = f"HTTP {error.status} {error.reason}"
    if error.status in (404, 410) and site == "generic":  # of a site of many requests it may mean another page
        return Failure("gone", "unavailable", reason)
    return Failure("cut_off" if error.status == 429 else "passing", "unavailable", reason)


def _said_failure(said: str, site: str) -> Failure:
    if "Got error" in said:  # in the middle of a file
        return Failure("passing", "unavailable", "the connection broke off")
    if WALL.search(said):
        return Failure("cut_off", "unavailable", said)
    if site == "youtube" and GONE.search(said):
        return Failure("gone", "unavailable", said)
    return Failure("passing", "unavailable", said)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions that led to a DownloadError of yt-dlp, the outermost first."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        if type(error).__name__ != "DownloadError":
            yield error
        inner = (getattr(error, "exc_info", None) or (None, None))[1]
        cause = getattr(error, "cause", None)
        error = next(
            (one for one in (inner, cause, error.__cause__, error.__context__) if one is not None and one is not error),
            None,
        )
