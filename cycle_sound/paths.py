"""Where each artifact lives: the only place with file names."""

from pathlib import Path

from cycle_sound.params import Direction, Modality

RAW = Path("data/raw")
MANIFEST = RAW / "manifest.csv"
JOURNAL = Path("data/work/download.jsonl")  # of a download that has not ended
SHARDS = Path("data/shards")
RECEIPTS = Path("data/work/shards")  # of finished shards
LIVE = Path("data/live")
PLOTS = Path("metrics/plots")
FATES = PLOTS / "download.csv"


def vae(modality: Modality) -> Path:
    """The discrete VAE of a modality."""
    return Path(f"data/vae/{modality}.safetensors")


def tokens(modality: Modality) -> Path:
    """The folder of a modality's cached tokens."""
    return Path(f"data/tokens/{modality}")


def classifier(modality: Modality) -> Path:
    """The judge of a modality."""
    return Path(f"data/classifier/{modality}.safetensors")


def transformer(direction: Direction) -> Path:
    """The transformer of a direction."""
    return Path(f"data/transformer/{direction}.safetensors")


def samples(direction: Direction) -> Path:
    """What the evaluation of a direction generated."""
    return Path(f"data/samples/{direction}")


def metrics(stage: str, instance: str = "") -> Path:
    """The metrics of one stage instance, such as `train_vae_image`."""
    return Path(f"metrics/{stage}_{instance}.json" if instance else f"metrics/{stage}.json")


def curve(stage: str, instance: str) -> Path:
    """The learning curve of one stage instance."""
    return PLOTS / f"{stage}_{instance}.csv"


def grid(direction: Direction) -> Path:
    """The picture of source → generated → real of a direction."""
    return PLOTS / f"{direction}.png"


def snapshot(stage: str, instance: str) -> Path:
    """Where a training keeps its state while it runs."""
    return Path(f"data/work/{stage}_{instance}.safetensors")


def live(stage: str, instance: str) -> Path:
    """Where DVCLive logs a training while it runs."""
    return LIVE / f"{stage}_{instance}"
