"""Write the report: one page with the figures, the curves, and what the models make of test pairs.

python -m stages.report
"""

import json

from cycle_sound import classifier, command, device, files, paths, samples
from cycle_sound.params import DIRECTIONS, MODALITIES, Audio, Params
from cycle_sound.report import page
from cycle_sound.report.page import Ground
from cycle_sound.shards import Split, read_index

TRAININGS = {"train_vae": MODALITIES, "train_classifier": MODALITIES, "train_transformer": DIRECTIONS}


def main(params: Params) -> None:
    """Gather what the other stages wrote, and show it."""
    device.prepare(params.seed)
    figures = {way: json.loads(paths.metrics("evaluate", way).read_text(encoding="utf-8")) for way in DIRECTIONS}
    curves = [
        (stage, word, files.read_csv(paths.curve(stage, word))) for stage, words in TRAININGS.items() for word in words
    ]
    splits = {"valid": "choose", "test": "evaluate"}
    tables = {
        way: {split: files.read_csv(paths.settings(stage, way)) for split, stage in splits.items()}
        for way in DIRECTIONS
    }
    ground = Ground(
        train=Split(paths.SHARDS, "train"),
        judges={modality: classifier.load(paths.classifier(modality)) for modality in MODALITIES},
        audio=Audio.model_validate(read_index(paths.SHARDS)["audio"]),
        config=params.report,
        seed=params.seed,
    )
    both = [samples.load(paths.samples(way) / samples.NAME) for way in DIRECTIONS]
    sections = [
        page.measured(figures),
        page.learned(curves),
        page.codebooks({word: rows for stage, word, rows in curves if stage == "train_vae"}),
        page.tried(tables),
        *(page.made(one, ground) for one in both),
        page.memorised(both, ground),
    ]
    files.write_bytes(paths.REPORT / "index.html", page.document(sections).encode())


if __name__ == "__main__":
    command.run(main)
