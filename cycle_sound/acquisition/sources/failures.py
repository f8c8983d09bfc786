"""Reasons why a clip could not be fetched, and the journal of the addresses that are not to be asked again."""

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cycle_sound.acquisition.sources.clip import Status
from cycle_sound.io import bounded, files
from cycle_sound.params import Config

JOURNAL = "gone.jsonl"  # in the store: {"address": …, "reason": …, perhaps "under": …}, one a line
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
OFF = ("TransportError", "SSLError", "CertificateVerifyError", "ProxyError")  # yt-dlp's, where nobody is reached

# What YouTube says of a video that is gone for good, of all that it calls unavailable; of one that cannot be had from
# here; and when it has had enough.
GONE = re.compile(
    r"private video|video is private|been removed|no longer available|been terminated|isn.t available anymore"
    r"|copyright|^this video is unavailable\W*$|^video unavailable\W*$",
    re.IGNORECASE,
)
PLACE = re.compile(r"countr(y|ies)|\bregions?\b|\b(your|this) (location|area)\b|geo.?(restrict|block)", re.IGNORECASE)
UNFIT = "Requested format is not available"  # yt-dlp's words, of any site
WALL = re.compile(r"not a bot|captcha|try again later|rate.limited|being blocked", re.IGNORECASE)


class PrivateHost(OSError):
    """An address that leads into a private network, by a redirect or by its name."""


class Failure(NamedTuple):
    """Why a clip was not fetched.

    Kinds: `gone` for good; `unfit`: there, but not as the settings want it; `passing`: perhaps not again; `cut_off`: no
    answer, or one that refuses all requests.
    """

    kind: Literal["gone", "unfit", "passing", "cut_off"]
    status: Status
    reason: str


class Entry(Config):
    """A line of the journal."""

    address: str
    reason: str
    under: str | None = None  # the settings under which it is unfit; None: it is gone


def known(store: Path, under: str) -> dict[str, Failure]:
    """The failures in a store's journal, by address; lines that a killed run left incomplete are skipped.

    What was `unfit` still is, if that was `under` the same settings; what was refused to a place may be had from here.
    """
    path = store / JOURNAL
    found = {}
    for line in bounded.lines(path) if path.exists() else []:
        try:
            entry = Entry.model_validate_json(line)
        except ValueError:
            continue
        if entry.under in (None, under) and not PLACE.search(entry.reason):
            kind: Literal["gone", "unfit"] = "gone" if entry.under is None else "unfit"
            found[entry.address] = Failure(kind, "unavailable", entry.reason)
    return found


def note(store: Path, address: str, failure: Failure, under: str) -> None:
    """Add an address that is gone, or unfit under these settings, to a store's journal."""
    entry = {"address": address, "reason": failure.reason} | ({"under": under} if failure.kind == "unfit" else {})
    line = json.dumps(entry)  # in ASCII, as other people's words may hold what a terminal obeys
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
            case "PrivateHost":
                return Failure("passing", "unavailable", "the address leads into a private network")
            case "GeoRestrictedError":
                return Failure("passing", "unavailable", _said(cause))
            case "IncompleteRead" | "ContentTooShortError":
                return Failure("passing", "unavailable", "the connection broke off")
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in _causes(error)):
        return Failure("cut_off", "unavailable", "the connection stalled")
    if any(type(cause).__name__ in OFF for cause in _causes(error)):
        return Failure("cut_off", "unavailable", "no connection")
    return _said_failure(_said(next(iter(_causes(error)), error)), site)


def _http_failure(error: Any, site: str) -> Failure:
    reason = f"HTTP {error.status} {error.reason}"
    if error.status in (404, 410) and site == "generic":  # of a site of many requests it may mean another page
        return Failure("gone", "unavailable", reason)
    return Failure("cut_off" if error.status == 429 else "passing", "unavailable", reason)


def _said(error: BaseException) -> str:
    return getattr(error, "orig_msg", str(error)).removeprefix("ERROR: ")


def _said_failure(said: str, site: str) -> Failure:
    if "Got error" in said:  # in the middle of a file
        return Failure("passing", "unavailable", "the connection broke off")
    if WALL.search(said):
        return Failure("cut_off", "unavailable", said)
    if UNFIT in said:
        return Failure("unfit", "unavailable", said)
    if site == "youtube" and GONE.search(said) and not PLACE.search(said):
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
