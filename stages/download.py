"""Obtain the pairs: fetch every clip of the source, check it, and write what is good beside a manifest of all.

python -m stages.download
"""

from cycle_sound import paths
from cycle_sound.acquisition import acquire, journal, manifest, overlap, sources, summary
from cycle_sound.io import files, stage
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Write data/raw and count what was obtained; a run that was stopped goes on."""
    overlap.keep_apart(params.data, paths.made())
    clips = sources.clips(params.data, params.audio.sample_rate, params.seed)
    key = journal.key(clips, params.data, params.audio.sample_rate, params.seed)
    with journal.keeping(paths.JOURNAL, key) as past:
        rows = acquire.acquire(clips, params.data, paths.RAW, journal=past)
        digest = {"split_digest": manifest.split_digest(rows)}
        files.write_json(paths.metrics("download"), manifest.summary(rows) | digest)
        files.write_csv(paths.FATES, summary.table(rows))


if __name__ == "__main__":
    stage.run(main)
