"""Train the classifier that judges one modality, on real data.

python -m stages.train_classifier image
"""

from cycle_sound import classifier, command, device, distributed, files, paths
from cycle_sound.objectives.classifier import ClassifierObjective
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.shards import Split, read_index
from cycle_sound.snapshot import Snapshot
from cycle_sound.training import Curve, fit


@distributed.joined()
def main(modality: Modality, params: Params) -> None:
    """Write the classifier; without two labels an empty one, and a figure that says so."""
    device.prepare(params.seed)
    train, valid = Split(paths.SHARDS, "train"), Split(paths.SHARDS, "valid")
    labels = sorted(set(train.labels) - {""})

    model = classifier.Classifier(params.classifier, train.shape(modality)[0], labels).to(device.best())
    config, shards = params.classifier, read_index(paths.SHARDS)["digest"]
    identity = files.identity(config.model_dump(), params.augment.model_dump(), params.seed, shards)
    snapshot = Snapshot(paths.snapshot("train_classifier", modality), identity)
    figures: dict[str, float] = {"labels": len(labels)}
    curve = Curve(paths.curve("train_classifier", modality), paths.live("train_classifier", modality))
    if len(labels) >= classifier.MIN_LABELS:
        objective = ClassifierObjective(model, modality, (train, valid), params.augment, params.seed)
        figures |= fit(model, objective, config.optimizer, params.seed, curve, snapshot)
    else:
        print(f"{len(labels)} labels: nothing to tell apart, so the evaluation will skip the class figures")
        curve.add({"step": 0.0, "train_loss": 0.0, "valid_loss": 0.0})
        curve.close()
    if distributed.is_first():
        classifier.save(paths.classifier(modality), model)
        files.write_json(paths.metrics("train_classifier", modality), figures)
    snapshot.discard()


if __name__ == "__main__":
    command.run(main, MODALITIES)
