"""How every classifier is trained: the one that names what is made, and the one that only judges."""

from pathlib import Path

from cycle_sound import paths
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.io import code, files
from cycle_sound.models import classifier, features
from cycle_sound.nn import device, distributed
from cycle_sound.params import AugmentConfig, ClassifierSection, Modality, NetworkConfig, ValidationConfig
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.classifier import ClassifierObjective
from cycle_sound.training.resume import Snapshot


def train(
    stage: str,
    modality: Modality,
    path: Path,
    config: ClassifierSection,
    augment: AugmentConfig,
    validation: ValidationConfig,
    *,
    seed: int,
    workers: int,
    reads: NetworkConfig | None = None,
) -> None:
    """Write a stage's classifier, its curve and its figures; all that is random in them comes from `seed`.

    With fewer than two labels the classifier is an untrained one, and a figure says so. `workers`: processes that make
    batches. `reads`: the frozen network whose features it judges by, in place of convolutions of its own.
    """
    device.prepare(seed)
    train, valid = TrainingSet(paths.SHARDS, modality), Split(paths.SHARDS, "valid")
    labels = sorted(train.known_labels() - {""})
    shift, degradation = augment[modality], augment.degradation
    settings = [part.model_dump() for part in (config, shift, degradation, validation, *([reads] if reads else []))]
    identity = code.identity(f"stages.{stage}", settings, seed, read_index(paths.SHARDS).digest)
    snapshot = Snapshot(paths.snapshot(stage, modality), identity)
    curve = Curve(paths.curve(stage, modality))

    network = features.pretrained(reads) if reads else None
    model = classifier.Classifier(config, train.shape(modality)[0], labels, network).to(device.best())
    figures: dict[str, float] = {"labels": len(labels)}
    if len(labels) >= classifier.MIN_LABELS:
        objective = ClassifierObjective(
            model,
            modality,
            (train, valid),
            shift,
            degradation,
            label_smoothing=config.label_smoothing,
            validation_pairs=validation.pairs,
        )
        figures |= fit(model, objective, config.optimizer, seed, curve, snapshot, workers=workers)
    else:
        print(f"{len(labels)} labels: nothing to tell apart, so the evaluation will skip the class figures")
        curve.leave_empty()
    if distributed.is_first():
        classifier.save(path, model)
        files.write_json(paths.metrics(stage, modality), figures)
    snapshot.discard()
