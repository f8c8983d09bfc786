"""Write the report: one page with the figures, the curves, and what the models generate for test pairs.

python -m stages.report
"""

import json

import torch

from cycle_sound import paths
from cycle_sound.dataset.reader import read_index
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.evaluation import samples
from cycle_sound.io import files, stage
from cycle_sound.models import classifier, vocoder
from cycle_sound.nn import device
from cycle_sound.params import DIRECTIONS, MODALITIES, Params
from cycle_sound.report import page
from cycle_sound.report.strips import ReportContext

TRAININGS = {
    "train_vae": MODALITIES,
    "finetune_decoder": MODALITIES,
    "train_vocoder": ("",),
    "train_classifier": MODALITIES,
    "train_judge": MODALITIES,
    "train_transformer": DIRECTIONS,
    "train_cycle": DIRECTIONS,
}
TABLES = {"guidance": "sweep_sampling", "candidates": "evaluate"}  # what was tried, and the stage that tried it


def main(params: Params) -> None:
    """Gather what the other stages wrote, and show it."""
    device.prepare(params.seed)
    metrics = {one: json.loads(paths.metrics("evaluate", one).read_text(encoding="utf-8")) for one in DIRECTIONS}
    curves = [
        (name, one, files.read_csv(paths.curve(name, one)))
        for name, instances in TRAININGS.items()
        for one in instances
    ]
    tables = {
        one: {tried: files.read_csv(paths.settings(name, one)) for tried, name in TABLES.items()} for one in DIRECTIONS
    }
    audio = read_index(paths.SHARDS).audio
    context = ReportContext(
        train={modality: TrainingSet(paths.SHARDS, modality) for modality in MODALITIES},
        classifiers={modality: classifier.load(paths.classifier(modality)) for modality in MODALITIES},
        vocoder=vocoder.load(paths.vocoder(), params.vocoder, audio, torch.device("cpu")),
        audio=audio,
        config=params.report,
        seed=params.seed,
    )
    both = [samples.load(paths.samples(one) / samples.NAME) for one in DIRECTIONS]
    sections = [
        page.measurements(metrics, params.evaluate),
        page.learning(curves),
        page.codebooks({one: rows for name, one, rows in curves if name == "train_vae"}),
        page.sampling(tables),
        page.confidence({one: files.read_csv(paths.reliability(one)) for one in DIRECTIONS}),
        *(page.examples(one, context) for one in both),
        page.memorisation(both, context),
    ]
    files.write_bytes(paths.REPORT / "index.html", page.document(sections).encode())


if __name__ == "__main__":
    stage.run(main)
