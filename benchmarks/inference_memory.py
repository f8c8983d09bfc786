"""The most memory that inference over a corpus of random pairs takes, by small models that nobody trained.

python -m benchmarks.inference_memory evaluate 400

Ends with a line of that many bytes. Pages of mapped files do not count: the system takes them back for others.
"""

import argparse
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import hardware, untrained
from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.evaluation.samples import SHOWS, Samples
from cycle_sound.models import classifier, vocoder
from cycle_sound.params import MODALITIES, Params
from cycle_sound.report import page
from cycle_sound.report.strips import ReportContext
from stages import cache_tokens, evaluate, sweep_sampling

LOOKED = 0.005  # seconds between two looks
SHOWN = 50  # samples of a report


def report(params: Params) -> None:
    """The part of the report that goes over train: nearest neighbours."""
    pictures = {show: torch.zeros(SHOWN, 3, 64, 64) for show in SHOWS}
    made = Samples(
        "audio_to_image",
        **pictures,
        pointwise_mutual_information=torch.zeros(SHOWN),
        ids=["one"] * SHOWN,
        labels=["bell"] * SHOWN,
    )
    judges = {modality: classifier.load(paths.classifier(modality)) for modality in MODALITIES}
    voice = vocoder.load(paths.vocoder(), params.vocoder, params.audio, torch.device("cpu"))
    train = {modality: TrainingSet(paths.SHARDS, modality) for modality in MODALITIES}
    context = ReportContext(train, judges, voice, params.audio, params.report, params.seed)
    page.memorisation([made], context)


STAGES: dict[str, tuple[str, Callable[[Params], None]]] = {  # the split that is gone over, and what goes over it
    "cache_tokens": ("train", lambda params: cache_tokens.main("image", params)),
    "sweep": ("valid", lambda params: sweep_sampling.main("audio_to_image", params)),
    "evaluate": ("test", lambda params: evaluate.main("audio_to_image", params)),
    "report": ("train", report),
}


def main() -> None:
    """Make a corpus and models in a folder of their own, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("pairs", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    split, work = STAGES[options.stage]
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        # Another process: what its heap would keep of the corpus is not the stage's.
        with ProcessPoolExecutor(1, get_context("spawn")) as maker:
            maker.submit(prepare, Path(name), split, options.pairs).result()
        with peak() as most:
            work(settings(options.pairs))
    print(int(max(most)))


def settings(pairs: int) -> Params:
    """The tiny ones, by which all pairs are gone over, each once."""
    once = {"guidance": 1.0}
    return parameters.parse(
        untrained.tree(
            sampling={"audio_to_image": once, "image_to_audio": once},
            sweep={"pairs": pairs, "guidances": [1.0]},
            evaluate={"rerank_candidates": [1]},
        )
    )


def prepare(folder: Path, split: str, pairs: int) -> None:
    """A project of so many pairs in a split and few in the others."""
    untrained.write_shards(folder, {"train": 4, "valid": 4, "test": 4} | {split: pairs}, size=500)
    data = untrained.untrained(folder)
    shutil.copytree(data / "classifier", data / "judge")
    (folder / paths.RAW / "test_data").mkdir(parents=True)
    for row in range(pairs if split == "test" else 0):
        for extension in ("jpg", "mp3"):
            (folder / paths.RAW / f"test_data/test{row}.{extension}").write_bytes(untrained.ORIGINAL)


@contextmanager
def peak() -> Iterator[list[float]]:
    """A list of the anonymous memory of this process in bytes, at every look.

    Python's anonymous mappings are shared with children, so Linux counts them apart.
    """
    looks: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOKED):
            looks.append(hardware.memory("RssAnon") + hardware.memory("RssShmem"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
