"""Where the pairs come from: each source makes the list of clips to fetch."""

from cycle_sound.params import Audio, Data
from cycle_sound.sources import folder, synthetic, vggsound, videos
from cycle_sound.sources.clip import Clip


def clips(data: Data, audio: Audio, seed: int) -> list[Clip]:
    """Every clip that data.source offers. Raises ValueError, one line, where there is none."""
    match data.source:
        case "synthetic":
            return synthetic.clips(data, audio.sample_rate, seed)
        case "folder":
            return folder.clips(data)
        case "videos":
            return videos.clips(data)
        case "vggsound":
            return vggsound.clips(data)
