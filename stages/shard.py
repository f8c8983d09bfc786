"""Turn the pairs into WebDataset shards of pictures and log-mels.

python -m stages.shard

On all cores of this machine, or, where the environment variable CYCLE_SOUND_DASK holds a scheduler's address, on that
Dask cluster, whose workers share this file system. The shards are the same. Those finished by an earlier run are kept.
"""

from cycle_sound import paths
from cycle_sound.acquisition import manifest, restoring
from cycle_sound.dataset import acceptance, writer
from cycle_sound.io import files, stage
from cycle_sound.params import Params


def main(params: Params) -> None:
    """Shard the accepted pairs into train, valid and test; raises `TooManyRejected` or `NoPairs` before any work."""
    rows = manifest.read(paths.MANIFEST)
    acceptance.check(rows, params.data.max_rejected)
    restoring.restore((row.original for row in rows if row.status == "ok"), paths.RAW, params)
    counts = writer.shard(rows, paths.RAW, paths.SHARDS, paths.RECEIPTS, params)
    files.write_json(paths.metrics("shard"), counts)


if __name__ == "__main__":
    stage.run(main)
