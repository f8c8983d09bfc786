"""How near generation comes to the machine's memory bandwidth: each step must read all weights and the cache.

python -m benchmarks.generation [--json]
"""

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks import hardware, peer, printing
from benchmarks.sizes import LAPTOP, VGGSOUND, Measured, Size
from cycle_sound.inference.cached_transformer import CachedTransformer
from cycle_sound.inference.sampling import sample
from cycle_sound.io import params_file
from cycle_sound.nn import device
from cycle_sound.nn.rng import seeded
from cycle_sound.params import SamplingConfig

PLAIN = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0, guidance=1.0, candidates=1)
BATCHES = (1, 4, 64)


def ours(model: Measured, batch: int) -> Callable[[], object]:
    """Drawing all target tokens of a batch."""
    where = device.of(model)
    cached = CachedTransformer(model.transformer, batch, guided=False)
    generators = [seeded(number, device=where) for number in range(batch)]

    def work() -> None:
        with torch.inference_mode():
            sample(cached, model.prefix(model.sources(batch)), PLAIN, generators)

    return work


def bytes_per_step(size: Size, batch: int, item: int) -> float:
    """Weights, and on average the prefix and half of the target's keys and values."""
    cached = 2 * size.depth * size.width * (1 + size.prefix + size.tokens / 2)
    # what lies in a processor's own cache is read faster than any copy: the share may then exceed 1
    return item * (size.weights + batch * cached)


def theirs(batch: int, tokens: int) -> float | None:
    """Seconds per token of the peer without its cache's start-up, or None where it is not installed."""
    package = peer.load()
    if package is None:
        return None
    model = peer.dalle(package).eval()
    text = torch.randint(1, 1024, (batch, 64))
    begin = time.perf_counter()
    with torch.inference_mode():
        model.generate_images(text, filter_thres=0.0)
    return (time.perf_counter() - begin) / tokens


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    where = device.best()
    size = VGGSOUND if where.type == "cuda" else LAPTOP
    model = Measured(size).to(where).eval()
    item = device.fast_dtype(where).itemsize
    seconds = params_file.load().data.clip_seconds
    bandwidth = hardware.copy_bandwidth(where)
    figures = {"copy_bytes_per_second": bandwidth}
    for batch in BATCHES:
        step = hardware.seconds(ours(model, batch), where, repeats=3) / size.tokens
        figures[f"tokens_per_second_batch_{batch}"] = batch / step
        figures[f"share_of_roofline_batch_{batch}"] = bytes_per_step(size, batch, item) / bandwidth / step
        milliseconds = 1000 * step * size.tokens / batch
        figures[f"milliseconds_per_picture_batch_{batch}"] = milliseconds
        figures[f"milliseconds_per_second_of_sound_batch_{batch}"] = milliseconds / seconds  # its tokens alone
    other = theirs(4, size.tokens) if where.type == "cpu" else None
    if other is not None:
        figures["ratio_to_dalle_pytorch"] = other * figures["tokens_per_second_batch_4"] / 4
    printing.show(figures, as_json)


if __name__ == "__main__":
    main()
