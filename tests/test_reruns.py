"""Which edit re-runs which stages: those whose own code or parameters it touches, and no others.

What follows from a stage's new outputs is DVC's own affair: an output of the same bytes stops there.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pipelines import copied, dvc, run
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
TREE: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
VAES = {"train_vae@image", "train_vae@audio"}
DECODERS = {"finetune_decoder@image", "finetune_decoder@audio"}
VOCODER = {"train_vocoder"}
CLASSIFIERS = {"train_classifier@image", "train_classifier@audio"}
JUDGES = {"train_judge@image", "train_judge@audio"}
TRANSFORMERS = {"train_transformer@audio_to_image", "train_transformer@image_to_audio"}
AUDIT = {"audit_pairs"}
IMPORT = {"import_models"}  # whether a model fits that a training goes on from; of the same bytes nothing follows
TOKENS = {"cache_tokens@image", "cache_tokens@audio"}
FEATURES = {"cache_features@image", "cache_features@audio"}
CYCLE = {"train_cycle"}
GENERATORS = TRANSFORMERS | CYCLE
TRAININGS = VAES | DECODERS | VOCODER | CLASSIFIERS | JUDGES | AUDIT | GENERATORS
SWEEPS = {"sweep_sampling@audio_to_image", "sweep_sampling@image_to_audio"}
EVALUATIONS = {"evaluate@audio_to_image", "evaluate@image_to_audio"}
CONFIDENCES = {"fit_confidence@audio_to_image", "fit_confidence@image_to_audio"}
USERS = SWEEPS | CONFIDENCES | EVALUATIONS  # of trained models
LAST = {"report", "export"}
READERS = TRAININGS | TOKENS | FEATURES | USERS | {"report"}  # of shards

EDITS = {  # a file, or a key of params.yaml → the stages that must run again
    # what cannot change a result
    "cycle_sound/errors.py": set(),  # the sentence of any error
    "cycle_sound/io/progress.py": set(),  # the wording of a progress bar
    "cycle_sound/io/stage.py": set(),  # how a stage starts and ends
    "cycle_sound/io/params_file.py": set(),  # DVC follows the values that it reads
    "cycle_sound/params.py": set(),
    "cycle_sound/paths.py": set(),
    "cycle_sound/acquisition/restoring.py": set(),  # how files of known digests come back
    "cycle_sound/app/cli.py": set(),
    "cycle_sound/app/web/page.py": set(),
    "cycle_sound/inference/hub.py": set(),
    "cycle_sound/inference/export.py": {"export"},
    "tests/test_reruns.py": set(),
    "loader.workers": set(),  # who makes batches of the same bytes
    "parallel": set(),  # what each of several processes holds
    "launcher": set(),  # part of commands, which DVC compares by themselves
    # code
    "cycle_sound/acquisition/sources/vggsound.py": {"download"},
    "cycle_sound/acquisition/quality.py": {"download"},
    "cycle_sound/acquisition/film_jobs.py": {"download"},
    "cycle_sound/acquisition/originals.py": READERS | {"download", "shard"},
    "cycle_sound/io/names.py": {"download", *AUDIT, *LAST},  # which names are the same, and how they are shown
    "cycle_sound/acquisition/sources/footage.py": {"download"},
    "cycle_sound/io/pool.py": {"download", "shard"},
    "cycle_sound/io/xz.py": {"download"},
    "cycle_sound/media/images.py": {"download", "shard"},  # EXIF
    "cycle_sound/media/picture_blocks.py": {"download", "shard"},
    "cycle_sound/media/mel.py": {"shard", *IMPORT, *VOCODER, *CYCLE, *USERS, *LAST},  # the engine hears, too
    "cycle_sound/io/tar_members.py": {"download", "shard", *AUDIT},
    "cycle_sound/dataset/writer.py": {"shard"},
    "cycle_sound/dataset/indexing.py": {"shard"},
    "cycle_sound/media/jpeg.py": READERS | {"shard"},
    "cycle_sound/media/picture_files.py": READERS | {"download", "shard"},
    "cycle_sound/dataset/reader.py": READERS,
    "cycle_sound/dataset/columns.py": READERS | {"shard"},
    "cycle_sound/dataset/sequences.py": READERS,
    "cycle_sound/dataset/acceptance.py": {"shard"},
    "cycle_sound/dataset/lone.py": {"shard"},
    "cycle_sound/dataset/training_set.py": VAES | DECODERS | CLASSIFIERS | JUDGES | {"report"},
    "cycle_sound/dataset/lone_sounds.py": VOCODER,
    "cycle_sound/models/gumbel.py": IMPORT | VAES | DECODERS | TOKENS | GENERATORS | USERS | {"export"},
    "cycle_sound/models/features.py": IMPORT | FEATURES | CLASSIFIERS | JUDGES | GENERATORS | USERS | LAST,
    "cycle_sound/dataset/headers.py": TOKENS | FEATURES | AUDIT | GENERATORS | {"drop_pairs"},
    "cycle_sound/dataset/caching.py": TOKENS | FEATURES | CYCLE,
    "cycle_sound/dataset/token_cache.py": TOKENS | GENERATORS,
    "cycle_sound/dataset/feature_cache.py": FEATURES | GENERATORS,
    "cycle_sound/dataset/drawn_cache.py": GENERATORS,
    "cycle_sound/dataset/dropping.py": AUDIT | GENERATORS | {"drop_pairs"},
    "cycle_sound/dataset/pairing.py": GENERATORS,
    "cycle_sound/evaluation/audit.py": AUDIT,
    "cycle_sound/models/dual_encoder.py": AUDIT,
    "cycle_sound/models/contrastive.py": AUDIT | IMPORT | GENERATORS | USERS | {"export"},
    "cycle_sound/training/objectives/discriminator.py": DECODERS,
    "cycle_sound/training/objectives/vae.py": VAES | DECODERS,
    "cycle_sound/training/objectives/decoder.py": DECODERS,
    "cycle_sound/nn/fidelity.py": VAES | DECODERS | EVALUATIONS,
    "cycle_sound/training/loop.py": TRAININGS,
    "cycle_sound/training/fsdp.py": TRAININGS,
    "cycle_sound/training/validation.py": TRAININGS - VOCODER,
    "cycle_sound/nn/order.py": TRAININGS,
    "cycle_sound/training/prefetch.py": TRAININGS,
    "cycle_sound/training/classification.py": CLASSIFIERS | JUDGES,
    "cycle_sound/training/init.py": VAES | VOCODER | TRANSFORMERS,
    "cycle_sound/training/objectives/transformer.py": GENERATORS,
    "cycle_sound/training/objectives/vocoder.py": VOCODER,
    "cycle_sound/dataset/sounds.py": VOCODER | AUDIT | EVALUATIONS,
    "cycle_sound/models/vocoder.py": CYCLE | USERS | LAST,
    "cycle_sound/models/learned_vocoder.py": IMPORT | VOCODER | CYCLE | USERS | LAST,
    "cycle_sound/inference/sampling.py": CYCLE | USERS | {"export"},
    "cycle_sound/back_translation/rounds.py": CYCLE,
    "cycle_sound/back_translation/drawing.py": CYCLE,
    "cycle_sound/dataset/feature_caching.py": FEATURES,
    "cycle_sound/evaluation/metrics.py": USERS | {"report"},  # an interval
    "cycle_sound/evaluation/generation.py": USERS,
    "cycle_sound/evaluation/label_metrics.py": USERS,
    "cycle_sound/evaluation/direction_metrics.py": EVALUATIONS,
    "cycle_sound/evaluation/calibration.py": CONFIDENCES | EVALUATIONS,
    "cycle_sound/evaluation/confidence_fit.py": CONFIDENCES | EVALUATIONS,
    "cycle_sound/inference/confidence.py": CONFIDENCES | EVALUATIONS | {"export"},
    "cycle_sound/evaluation/analysis.py": EVALUATIONS,
    "cycle_sound/evaluation/judges.py": EVALUATIONS,
    "cycle_sound/report/report.css": {*AUDIT, "report"},
    "cycle_sound/report/templates/base.html.j2": {*AUDIT, "report"},
    "stages/train_vae.py": VAES,
    # parameters
    "data.max_rejected": {"shard"},
    "data.valid_share": {"shard"},
    "data.paired_share": {"shard"},
    "data.unpaired": {"download"},
    "data.drop_worst": {"drop_pairs"},  # what learns from pairs hears of it by their bytes
    "data.silence_db": {"download"},
    "data.synthetic.train_pairs": {"download"},
    "data.vggsound.retries": set(),  # of a source that is not chosen
    "audio.mels": {"shard", *IMPORT},
    "audio.sample_rate": {"download", "shard", *IMPORT},
    "init.vae.image": IMPORT,
    "shard.pairs_per_shard": {"shard"},
    "shard.jpeg_quality": {"shard"},
    "vae.audio.optimizer.learning_rate": {"train_vae@audio"},
    "vae.image.codebooks": {"train_vae@image", *IMPORT},
    "decoder.image.feature_weight": {"finetune_decoder@image"},
    "augment.image.rows": {
        *(
            "train_vae@image",
            "finetune_decoder@image",
            "cache_tokens@image",
            "cache_features@image",
            "train_classifier@image",
            "train_judge@image",
            "audit_pairs",
        ),
        *GENERATORS,
    },
    "augment.degradation.blur": FEATURES | CLASSIFIERS | JUDGES | GENERATORS,
    "validation.pairs": TRAININGS - VOCODER,
    "audit.optimizer.steps": AUDIT,
    "classifier.width": CLASSIFIERS,
    "classifier.label_smoothing": CLASSIFIERS,
    "judge.architecture": JUDGES,
    "tokens.top": TOKENS | GENERATORS,
    "tokens.views": TOKENS | FEATURES | GENERATORS,
    "features.source.image.network": {"cache_features@image"},  # what reads the features hears of it by their bytes
    "features.judge.image.network": {"train_judge@image"},
    "transformer.audio_to_image.depth": {"train_transformer@audio_to_image", *IMPORT},
    "cycle.rounds": CYCLE,
    "cycle.sampling.guidance": CYCLE,
    "sampling.audio_to_image.guidance": USERS,  # the cycle draws in both directions
    "sweep.guidances": SWEEPS,
    "confidence.penalty": CONFIDENCES,
    "evaluate.rerank_candidates": EVALUATIONS,
    "evaluate.retrieval_pool": EVALUATIONS,
    "evaluate.kernel_pairs": EVALUATIONS | {"report"},  # which says on how many pairs figures are measured
    "vocoder.kind": USERS | {"report"},
    "vocoder.griffin_lim_rounds": USERS | {"report"},
    "vocoder.learned.width": VOCODER | IMPORT,
    "vocoder.learned.quietest": VOCODER,
    "report.neighbours": {"report"},
    "report.neighbours_among": {"report"},
}

TOLD = STAGES["export"]["params"]  # by the card
EDITS |= {
    edit: stages | {"export"} for edit, stages in EDITS.items() if any(f"{edit}.".startswith(f"{key}.") for key in TOLD)
}


def instances() -> dict[str, tuple[list[str], list[str]]]:
    """The dependencies and the parameters of every stage instance, as DVC resolves them."""
    found = {}
    for stage, spec in STAGES.items():
        ((item, words),) = spec.get("matrix", {"": [""]}).items()
        for word in words:
            text = json.dumps([spec["deps"], spec.get("params", [])])
            text = text.replace(f"${{item.{item}}}", word).replace("${data.source}", TREE["data"]["source"])
            deps, params = json.loads(text)
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


# --- the tools themselves, in a copy of the project

DIGESTS = """
import json
from cycle_sound.io import code
print(json.dumps({name: code.digest(name) for name in code.modules() if name.startswith("stages.")}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied(tmp_path / "project")


def change(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def outs(stage: str, word: str) -> list[str]:
    """The files and folders that an instance of a stage makes."""
    entries = [out for section in ("outs", "metrics", "plots") for out in STAGES[stage].get(section, [])]
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [name.replace("${item.modality}", word).replace("${item.direction}", word) for name in names]


def make_up(project: Path) -> None:
    """Let DVC take a word in each place for what the present code and parameters make."""
    for name in instances():
        for out in outs(*f"{name}@".split("@")[:2]):
            path = project / out if Path(out).suffix else project / out / "made"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(out, encoding="utf-8")
    dvc(project, "commit", "--force")


def test_dvc_reruns_what_the_table_says(project: Path) -> None:
    make_up(project)

    def changed() -> set[str]:
        return set(json.loads(dvc(project, "status", "--json")))

    text = (project / "params.yaml").read_text(encoding="utf-8")
    for old, new in (("max_rejected: 0.25", "max_rejected: 0.5"), ("retries: 3", "retries: 4")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (project / "params.yaml").write_text(text, encoding="utf-8")
    edits = [
        "cycle_sound/errors.py",
        "cycle_sound/models/vocoder.py",
    ]  # the second lies in a folder that evaluate lists
    for edit in edits:
        change(project / edit)
    wanted = set[str]().union(*(EDITS[edit] for edit in (*edits, "data.max_rejected", "data.vggsound.retries")))
    assert changed() == wanted
    (project / "params.yaml").write_text(text.replace("source: synthetic", "source: folder"), encoding="utf-8")
    assert changed() == wanted | {"download"}


LEFT = (".DS_Store", "._rng.py", ".rng.py.swp", ".ipynb_checkpoints/rng.py", "Thumbs.db", "rng.py~")


def test_what_file_managers_and_editors_leave_behind_reruns_nothing(project: Path) -> None:
    make_up(project)
    before = run(project, sys.executable, "-c", DIGESTS, PYTHONPATH=str(project))
    in_code = [Path(folder, left) for folder in ("cycle_sound/nn", "cycle_sound/report", "stages") for left in LEFT]
    in_data = [Path(folder, left) for folder in ("data/shards", "data/decoder/image") for left in LEFT[:-1]]
    for path in (project / left for left in (*in_code, *in_data)):
        path.parent.mkdir(exist_ok=True)
        path.write_text("left", encoding="utf-8")
    assert json.loads(dvc(project, "status", "--json")) == {}
    assert run(project, sys.executable, "-c", DIGESTS, PYTHONPATH=str(project)) == before
    run(project, sys.executable, "-m", "cycle_sound.io.dvc_yaml", PYTHONPATH=str(project))
    assert (project / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()


def test_what_is_resumed_and_what_dvc_reruns_depend_on_one_notion_of_the_code(project: Path) -> None:
    def digests() -> dict[str, str]:
        return json.loads(run(project, sys.executable, "-c", DIGESTS, PYTHONPATH=str(project)))

    after = digests()
    for edit in (
        "cycle_sound/io/progress.py",
        "cycle_sound/training/objectives/vae.py",
        "cycle_sound/report/report.css",
    ):
        before = after
        change(project / edit)
        after = digests()
        stages = {name.removeprefix("stages.") for name in before if before[name] != after[name]}
        assert stages == {name.split("@")[0] for name in EDITS.get(edit, rerun(edit))}
