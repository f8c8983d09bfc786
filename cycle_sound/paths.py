"""Where each artifact lives: the only place with file names.

A folder of models that was exported has the layout of `data/`.
"""

from pathlib import Path

from cycle_sound.params import DIRECTIONS, MODALITIES, Direction, Modality

DATA = Path("data")
PRETRAINED = Path(__file__).resolve().parent / "pretrained"  # the models bundled with the package
RAW = DATA / "raw"
MANIFEST = RAW / "manifest.csv"
WORK = DATA / "work"  # what unfinished work has finished
JOURNAL = WORK / "download.jsonl"  # of a download that has not ended
SHARDS = DATA / "shards"
INDEX = SHARDS / "index.json"  # of whole shards
RECEIPTS = WORK / "shards"  # of finished shards
AUDIT = DATA / "audit"  # of the training pairs; empty where none is wanted
PAIRING = DATA / "pairing"  # of those whose pairing is learned from; empty where nothing is dropped
INIT = DATA / "init"  # models that trainings go on from
INIT_NAME = "model.safetensors"  # of each in its folder there
REPORT = DATA / "report"  # index.html alone
MODELS = DATA / "models"  # what generates, exported as one folder
PLOTS = Path("metrics/plots")
FATES = PLOTS / "download.csv"
MEASURED = {  # stages that write metrics, and of what
    **dict.fromkeys(("download", "shard", "train_vocoder", "train_cycle"), ("",)),
    **dict.fromkeys(("train_vae", "finetune_decoder", "train_classifier", "train_judge"), MODALITIES),
    **dict.fromkeys(("train_transformer", "fit_confidence", "evaluate"), DIRECTIONS),
}


def made() -> list[Path]:
    """The folders into which the stages write, and from which they remove."""
    of_modalities = [one("image") for one in (vae, decoder, tokens, features, classifier, judge)]
    of_directions = [one("audio_to_image") for one in (transformer, cycle, confidence, samples)]
    own = [*of_modalities, vocoder(), *of_directions]
    parts = [RAW / f"{split}_data" for split in ("train", "test")]  # may be links
    single = [WORK, SHARDS, AUDIT, PAIRING, INIT, REPORT, MODELS, PLOTS.parent]
    return [RAW, *parts, *single, *(path.parent for path in own)]


def init(model: str, instance: str = "") -> Path:
    """The folder of the model that a training goes on from, such as `vae_image`; empty where it begins from nothing."""
    return INIT / _named(model, instance)


def inits() -> list[Path]:
    """The folders of all models that trainings go on from."""
    vaes = [init("vae", modality) for modality in MODALITIES]
    return [*vaes, *(init("transformer", direction) for direction in DIRECTIONS), init("vocoder")]


def vae(modality: Modality, folder: Path = DATA) -> Path:
    """The discrete VAE of a modality."""
    return folder / f"vae/{modality}.safetensors"


def decoder(modality: Modality, folder: Path = DATA) -> Path:
    """The folder of a modality's fine-tuned decoder; empty where none is wanted."""
    return folder / f"decoder/{modality}"


def tokens(modality: Modality) -> Path:
    """The folder of a modality's cached tokens."""
    return Path(f"data/tokens/{modality}")


def features(modality: Modality, folder: Path = DATA) -> Path:
    """The folder of a modality's cached features, and of the network that they are of; empty where none are wanted."""
    return folder / f"features/{modality}"


def classifier(modality: Modality, folder: Path = DATA) -> Path:
    """The classifier of a modality."""
    return folder / f"classifier/{modality}.safetensors"


def judge(modality: Modality) -> Path:
    """The classifier of a modality that only judges: nobody generates with it, so it is not exported."""
    return DATA / f"judge/{modality}.safetensors"


def vocoder(folder: Path = DATA) -> Path:
    """The learned vocoder."""
    return folder / "vocoder/learned.safetensors"


def transformer(direction: Direction, folder: Path = DATA) -> Path:
    """The transformer of a direction, trained on pairs alone."""
    return folder / f"transformer/{direction}.safetensors"


def cycle(direction: Direction, folder: Path = DATA) -> Path:
    """The generator of a direction: its transformer after the rounds in which both directions taught each other."""
    return folder / f"cycle/{direction}.safetensors"


def generators(folder: Path) -> list[Path]:
    """The tokenizers and the transformers of a folder: without them nothing is generated."""
    return [*(vae(one, folder) for one in MODALITIES), *(cycle(one, folder) for one in DIRECTIONS)]


def confidence(direction: Direction, folder: Path = DATA) -> Path:
    """The fitted confidence of a direction."""
    return folder / f"confidence/{direction}.json"


def samples(direction: Direction) -> Path:
    """What the evaluation of a direction generated."""
    return Path(f"data/samples/{direction}")


def metrics(stage: str, instance: str = "") -> Path:
    """The metrics of one stage instance, such as `train_vae_image`."""
    return Path(f"metrics/{_named(stage, instance)}.json")


def every_metrics() -> list[Path]:
    """The metrics of all stages, by name."""
    return sorted(metrics(stage, one) for stage, instances in MEASURED.items() for one in instances)


def curve(stage: str, instance: str = "") -> Path:
    """The learning curve of one stage instance."""
    return PLOTS / f"{_named(stage, instance)}.csv"


def settings(stage: str, direction: Direction) -> Path:
    """The table of sampling settings that a stage tried."""
    return PLOTS / f"{stage}_{direction}.csv"


def figures(direction: Direction) -> Path:
    """The table of a direction's figures between floor and ceiling."""
    return PLOTS / f"figures_{direction}.csv"


def reliability(direction: Direction) -> Path:
    """The table of how often a direction is right, by how confident it is."""
    return PLOTS / f"confidence_{direction}.csv"


def contact_sheet(direction: Direction) -> Path:
    """The picture of source → generated → real of a direction."""
    return PLOTS / f"{direction}.png"


def unfinished(stage: str, instance: str = "") -> Path:
    """The folder in which a stage keeps what it has finished while it runs."""
    return WORK / _named(stage, instance)


def snapshot(stage: str, instance: str = "") -> Path:
    """Where a training keeps its state while it runs."""
    return WORK / f"{_named(stage, instance)}.safetensors"


def _named(stage: str, instance: str) -> str:
    """The name of a stage instance; of a stage without instances its own."""
    return f"{stage}_{instance}" if instance else stage
