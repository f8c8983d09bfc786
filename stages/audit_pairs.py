"""Rank the training pairs by how badly sound and picture explain each other, where it is wanted.

python -m stages.audit_pairs

Each half of the training groups is judged by a model of the other half. Processes that a launcher starts train and
judge together; the first of them writes. A training that was killed goes on.
"""

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition import restoring
from cycle_sound.dataset import dropping, halves, sounds
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.errors import TooFewGroups
from cycle_sound.evaluation import audit
from cycle_sound.io import code, files, stage
from cycle_sound.models.dual_encoder import DualEncoder
from cycle_sound.nn import distributed
from cycle_sound.params import Modality, Params, ShiftConfig
from cycle_sound.report import audit_page
from cycle_sound.training import auditing
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(params: Params) -> None:
    """Write the scores, the table and the page, and the learning curves; where no audit is wanted an empty folder."""
    config, seed, folder = params.audit, params.seed, paths.AUDIT
    if distributed.is_first():
        files.empty(folder)
    distributed.barrier()
    if not config.enabled:
        return
    train, valid, index = Split(paths.SHARDS, "train"), Split(paths.SHARDS, "valid"), read_index(paths.SHARDS)
    half = halves.of_rows(paths.SHARDS, train)
    one, other = (int((half == number).sum()) for number in halves.HALVES)
    if min(one, other) < 2:
        raise TooFewGroups(one=one, other=other)
    shifts: dict[Modality, ShiftConfig] = {"image": params.augment.image, "audio": params.augment.audio}
    settings = [part.model_dump() for part in (config, *shifts.values(), params.validation)]
    identity = code.identity("stages.audit_pairs", settings, seed, index.digest)
    snapshots = [Snapshot(paths.snapshot("audit_pairs", str(number)), identity) for number in halves.HALVES]

    def trained(learner: int) -> DualEncoder:
        rows, curve, snapshot = np.flatnonzero(half == learner), folder / f"half_{learner}.csv", snapshots[learner]
        configs, workers = (config, shifts, params.validation), params.loader.workers
        return auditing.train((train, valid), rows, *configs, curve, snapshot, seed=seed, workers=workers)

    scores = audit.cross_fitted(trained, train, half, config.partners, seed)
    if distributed.is_first():
        worst = dropping.worst_first(scores)[: config.worst].tolist()
        restoring.restore([train.originals[row] for row in worst], paths.RAW, params)
        heard = sounds.of(train, paths.RAW, index.audio)
        page = audit_page.document(train, heard, scores, worst)
        files.write_csv(folder / dropping.TABLE, (pair._asdict() for pair in audit.table(train, scores, half)))
        files.write_bytes(folder / dropping.PAGE, page.encode())
        dropping.write_scores(folder, scores, index.digest)
    for snapshot in snapshots:
        snapshot.discard()


if __name__ == "__main__":
    stage.run(main)
