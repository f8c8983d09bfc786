"""What a machine can do at most, measured in the same run as what is compared with it; and what a process takes."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from cycle_sound.nn.device import kind

MATRIX = {"cpu": 2048, "gpu": 8192}  # rows and columns: large enough for the full rate
COPIED = {"cpu": 1 << 28, "gpu": 1 << 31}  # bytes: far beyond any cache


def wait(device: torch.device) -> None:
    """Let queued work end."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The median time of a call, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def memory(field: str) -> float:
    """A figure of this process in bytes, by its name in Linux's /proc.

    VmRSS is what it holds, RssAnon of it what is in no file, RssShmem what is shared, VmHWM the most it held.
    """
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return 1024 * float(found[1])


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    side = MATRIX[kind(device)]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device)


def convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a 3 × 3 convolution of 128 channels in channels_last."""
    pictures = torch.randn(32, 128, 32, 32, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    weights = torch.randn(128, 128, 3, 3, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    flops = 2 * 32 * 32 * 32 * 9 * 128 * 128
    return flops / seconds(lambda: F.conv2d(pictures, weights, padding=1), device)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    count = COPIED[kind(device)]
    source, target = (torch.zeros(count, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * count / seconds(lambda: target.copy_(source), device)
