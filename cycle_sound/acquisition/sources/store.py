"""The store of fetched clips: what proves unreadable there is moved aside, so that it is fetched again."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cycle_sound.acquisition.sources import archives, videos
from cycle_sound.acquisition.sources.archives import Video
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.io import files, names, pool
from cycle_sound.io.pool import Job

SECONDS = 60.0  # to decode the first picture of a video, which takes milliseconds
ASIDE = ".unreadable"  # in the store: hidden, so nothing looks into it


def readable(root: Path, needed: Sequence[Excerpt]) -> dict[Excerpt, Video]:
    """What `archives.find` finds, without the files of the excerpts needed that show nothing: these are moved aside.

    A power loss, a full disk or an error page may have left them, or a header alone; no content is lost. Members of
    archives stay, and so does what the system does not read, and what a process dies over or hangs at: that is a clip's
    fate.
    """
    found = archives.find(root)
    loose = [found[excerpt].path for excerpt in needed if excerpt in found and found[excerpt].size is None]
    looks = {path: Job(partial(_is_readable, path), SECONDS) for path in loose}
    # What ends the process that looks at it stays: it would be fetched again and again, and cutting it is its fate.
    broken = sorted(path for path, is_readable in pool.here(looks) if is_readable is False)
    for path in broken:
        place = root / ASIDE / f"{files.digest(path)[:16]}.{path.name}"
        place.parent.mkdir(exist_ok=True)
        files.move(path, place)
        print(names.printable(f"{path}: not a video, moved to {place}"), file=sys.stderr)
    return readable(root, needed) if broken else found


def _is_readable(path: Path) -> bool:
    try:
        videos.check(path)
    except Rejected:
        return False
    except OSError:  # the system's word, not the file's
        pass
    return True
