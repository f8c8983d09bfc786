"""Obtain the pairs: fetch every clip of the source, check it, and write what is good beside a manifest of all.

python -m stages.download
"""

from cycle_sound import acquisition, command, files, manifest, paths, sources
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Write data/raw and count what was obtained."""
    clips = sources.clips(params.data, params.audio, params.seed)
    rows = acquisition.acquire(clips, params.data, paths.RAW)
    files.write_json(paths.metrics("download"), manifest.summary(rows))


if __name__ == "__main__":
    command.run(main)
