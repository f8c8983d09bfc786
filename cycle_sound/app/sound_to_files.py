"""From a sound to files: a picture, or of a long sound a contact sheet and a film."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from cycle_sound.app.outputs import beside
from cycle_sound.inference.fixed_batches import batched
from cycle_sound.io import progress
from cycle_sound.media.contact_sheet import contact_sheet, enlarged
from cycle_sound.media.film import film
from cycle_sound.media.picture_files import encode_png
from cycle_sound.media.sounds import Sound, windows


def see(
    make: Callable[[Sequence[Sound]], list[Image.Image]],
    sound: Sound,
    seconds: float,
    stem: Path,
    accepts: Callable[[Sequence[Sound], Sequence[Image.Image]], bool],
    scale: int = 1,
) -> list[Path]:
    """Write the picture that `make` generates from a sound as STEM.png; return the paths written.

    Of a sound longer than `seconds` every window becomes a picture: a contact sheet STEM.png and a film STEM.mp4.
    Nothing is written of windows and pictures that are not accepted. The picture, or those of the film, are written
    `scale` times as wide and as high.
    """
    parts = windows(sound, seconds)
    batches = list(batched(parts))
    shown = progress.track(batches, len(batches), stem.name) if len(batches) > 1 else batches
    pictures = [picture for batch in shown for picture in make(batch)]
    if not accepts(parts, pictures):
        return []
    if len(parts) == 1:
        return [beside(stem, ".png", encode_png(enlarged(pictures[0], scale)))]
    sheet = beside(stem, ".png", encode_png(contact_sheet(pictures, seconds)))
    return [sheet, beside(stem, ".mp4", film([enlarged(one, scale) for one in pictures], seconds, sound))]
