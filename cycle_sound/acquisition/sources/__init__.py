"""The sources of pairs: each makes the list of clips to fetch."""

from collections.abc import Set

from cycle_sound.acquisition.sources import folder, synthetic, vggsound, videos
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.params import DataConfig


def clips(data: DataConfig, sample_rate: int, seed: int, needed: Set[str] | None = None) -> list[Clip]:
    """Every clip that data.source offers; `sample_rate`, in Hz, is that of sounds which a source itself makes.

    `needed`: the ids of clips for which alone anything is to be fetched; None: for all. Raises `BadSource`, and what
    `fetching.fetch` raises.
    """
    match data.source:
        case "synthetic":
            return synthetic.clips(data, sample_rate, seed)
        case "folder":
            return folder.clips(data)
        case "videos":
            return videos.clips(data)
        case "vggsound":
            return vggsound.clips(data, needed)
