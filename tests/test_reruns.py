"""Which edit re-runs which stages: those whose own code or parameters it touches, and no others.

What follows from a stage's new outputs is DVC's own affair: an output of the same bytes stops there.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
TREE: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
VAES = {"train_vae@image", "train_vae@audio"}
CLASSIFIERS = {"train_classifier@image", "train_classifier@audio"}
TRANSFORMERS = {"train_transformer@audio_to_image", "train_transformer@image_to_audio"}
TOKENS = {"cache_tokens@image", "cache_tokens@audio"}
TRAININGS = VAES | CLASSIFIERS | TRANSFORMERS
SWEEPS = {"sweep_sampling@audio_to_image", "sweep_sampling@image_to_audio"}
EVALUATIONS = {"evaluate@audio_to_image", "evaluate@image_to_audio"}
USERS = SWEEPS | EVALUATIONS  # of trained models

EDITS = {  # a file, or a key of params.yaml → the stages that must run again
    # what cannot change a result
    "cycle_sound/errors.py": set(),  # the sentence of any error
    "cycle_sound/io/progress.py": set(),  # the wording of a progress bar
    "cycle_sound/io/stage.py": set(),  # how a stage starts and ends
    "cycle_sound/paths.py": set(),
    "cycle_sound/app/cli.py": set(),
    "cycle_sound/app/web.py": set(),
    "cycle_sound/inference/export.py": set(),
    "tests/test_reruns.py": set(),
    "launcher": set(),  # part of the trainings' commands, which DVC compares by themselves
    # code
    "cycle_sound/acquisition/sources/vggsound.py": {"download"},
    "cycle_sound/acquisition/quality.py": {"download"},
    "cycle_sound/media/images.py": {"download", "shard", *EVALUATIONS, "report"},  # EXIF
    "cycle_sound/media/mel.py": {"shard", *USERS, "report"},
    "cycle_sound/dataset/writer.py": {"shard"},
    "cycle_sound/dataset/acceptance.py": {"shard"},
    "cycle_sound/models/gumbel.py": VAES | TOKENS | TRANSFORMERS | USERS,
    "cycle_sound/training/objectives/vae.py": VAES,
    "cycle_sound/training/loop.py": TRAININGS,
    "cycle_sound/training/objectives/transformer.py": TRANSFORMERS,
    "cycle_sound/models/vocoder.py": USERS | {"report"},
    "cycle_sound/inference/sampling.py": USERS,
    "cycle_sound/evaluation/metrics.py": USERS,  # an interval
    "cycle_sound/evaluation/analysis.py": EVALUATIONS,
    "cycle_sound/report/report.css": {"report"},
    "cycle_sound/report/templates/base.html.j2": {"report"},
    "stages/train_vae.py": VAES,
    # parameters
    "data.max_rejected": {"shard"},
    "data.valid_share": {"shard"},
    "data.silence_db": {"download"},
    "data.synthetic.train_pairs": {"download"},
    "data.vggsound.retries": set(),  # of a source that is not chosen
    "audio.mels": {"shard"},
    "audio.sample_rate": {"download", "shard"},
    "shard.pairs_per_shard": {"shard"},
    "vae.audio.optimizer.learning_rate": {"train_vae@audio"},
    "vae.image.codebooks": {"train_vae@image"},
    "augment.image.rows": {"train_vae@image", "cache_tokens@image", "train_classifier@image", *TRANSFORMERS},
    "augment.degradation.blur": CLASSIFIERS | TRANSFORMERS,
    "tokens.top": TOKENS,
    "transformer.audio_to_image.depth": {"train_transformer@audio_to_image"},
    "sampling.audio_to_image.guidance": USERS,  # the cycle draws in both directions
    "sweep.guidances": USERS,
    "evaluate.retrieval_pool": EVALUATIONS,
    "vocoder.griffin_lim_rounds": USERS | {"report"},
    "report.neighbours": {"report"},
}


def instances() -> dict[str, tuple[list[str], list[str]]]:
    """The dependencies and the parameters of every stage instance, as DVC resolves them."""
    found = {}
    for stage, spec in STAGES.items():
        ((item, words),) = spec.get("matrix", {"": [""]}).items()
        for word in words:
            text = yaml.safe_dump([spec["deps"], spec.get("params", [])])
            text = text.replace(f"${{item.{item}}}", word).replace("${data.source}", TREE["data"]["source"])
            deps, params = yaml.safe_load(text)
            found[f"{stage}@{word}" if word else stage] = deps, params
    return found


def rerun(edit: str) -> set[str]:
    """The stage instances that depend on a file or on a key, themselves or by a folder or section around it."""
    if "/" in edit:
        return {
            name for name, (deps, _) in instances().items() if any(f"{edit}/".startswith(f"{dep}/") for dep in deps)
        }
    return {name for name, (_, keys) in instances().items() if any(f"{edit}.".startswith(f"{key}.") for key in keys)}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reruns_exactly_what_it_can_change(edit: str) -> None:
    if "/" in edit:
        assert (ROOT / edit).is_file()
    else:
        node: Any = TREE
        for part in edit.split("."):
            node = node[part]
    assert rerun(edit) == EDITS[edit]
