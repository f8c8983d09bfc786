"""Train the classifier that judges one modality, on real data.

python -m stages.train_classifier image
"""

from cycle_sound import paths
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.io import code, files, stage
from cycle_sound.models import classifier
from cycle_sound.nn import device, distributed
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.classifier import ClassifierObjective
from cycle_sound.training.resume import Snapshot


@distributed.process_group()
def main(modality: Modality, params: Params) -> None:
    """Write the classifier; with fewer than two labels an untrained one, and a figure that says so."""
    device.prepare(params.seed)
    train, valid = Split(paths.SHARDS, "train"), Split(paths.SHARDS, "valid")
    labels = sorted(set(train.labels) - {""})
    config, shift, degradation = params.classifier, params.augment[modality], params.augment.degradation
    settings = [part.model_dump() for part in (config, shift, degradation)]
    identity = code.identity("stages.train_classifier", settings, params.seed, read_index(paths.SHARDS).digest)
    snapshot = Snapshot(paths.snapshot("train_classifier", modality), identity)
    curve = Curve(paths.curve("train_classifier", modality))

    model = classifier.Classifier(config, train.shape(modality)[0], labels).to(device.best())
    figures: dict[str, float] = {"labels": len(labels)}
    if len(labels) >= classifier.MIN_LABELS:
        objective = ClassifierObjective(model, modality, (train, valid), shift, degradation)
        figures |= fit(model, objective, config.optimizer, params.seed, curve, snapshot)
    else:
        print(f"{len(labels)} labels: nothing to tell apart, so the evaluation will skip the class figures")
        curve.leave_empty()
    if distributed.is_first():
        classifier.save(paths.classifier(modality), model)
        files.write_json(paths.metrics("train_classifier", modality), figures)
    snapshot.discard()


if __name__ == "__main__":
    stage.run(main, MODALITIES)
