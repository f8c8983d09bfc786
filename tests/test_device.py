"""Any device is answered for, also one that nobody here has; the best that there is is chosen."""

import pytest
import torch

from cycle_sound.inference import fixed_batches
from cycle_sound.inference.fixed_batches import TOGETHER, size_for
from cycle_sound.models.griffin_lim import GriffinLim
from cycle_sound.nn import device, distributed
from cycle_sound.params import Params


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cuda", "cuda:1", "mps", "mps:0", "xpu", "meta"])
def test_every_device_has_a_batch(name: str) -> None:
    assert TOGETHER % size_for(torch.device(name)) == 0


@pytest.mark.parametrize(
    ("name", "native", "capabilities", "precision"),
    [
        *((name, True, {"avx512_bf16": True}, torch.float32) for name in ("mps", "mps:0", "xpu", "meta")),
        *((name, True, {}, torch.bfloat16) for name in ("cuda", "cuda:1")),
        ("cuda", False, {"avx512_bf16": True}, torch.float32),
        *((name, True, {}, torch.float32) for name in ("cpu", "cpu:0")),
        ("cpu", True, {"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ("cpu", False, {"avx512_bf16": True}, torch.bfloat16),
        ("cpu", False, {"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_bfloat16_is_for_the_devices_that_are_known_to_compute_faster_in_it(
    name: str,
    native: bool,
    capabilities: dict[str, bool],
    precision: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`native`: whether Nvidia's GPU has it, and does not only emulate it; `capabilities`: those of the CPU."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert device.dtype(torch.device(name)) == precision


@pytest.mark.parametrize(
    ("megabytes", "cpu", "gpu"), [(0, 32, 64), (64, 32, 64), (65, 16, 64), (129, 8, 32), (1024, 2, 8), (10_000, 1, 1)]
)
def test_a_batch_is_halved_until_its_rows_fit(
    megabytes: int, cpu: int, gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fixed_batches.FIXED_BATCH, "cpu", 32)
    for name, size in (("cpu", cpu), ("cuda", gpu), ("mps", gpu)):
        assert size_for(torch.device(name), megabytes << 20) == size


@pytest.mark.parametrize("name", ["mps", "cuda", "xpu"])
def test_float32_may_be_asked_for_on_every_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "dtype", lambda _: torch.float32)
    with device.autocast(torch.device(name)), device.exact(torch.device(name)):
        assert not torch.is_autocast_enabled(name)


@pytest.mark.parametrize(
    ("cuda", "mps", "processes", "chosen"),
    [(True, True, 2, "cuda"), (False, True, 1, "mps"), (False, True, 2, "cpu"), (False, False, 1, "cpu")],
)
def test_the_best_device_is_chosen(
    cuda: bool, mps: bool, processes: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apple's GPU for one process alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    assert device.best() == torch.device(chosen)


def test_a_vocoder_without_weights_runs_on_a_device_that_no_table_names(params: Params) -> None:
    log_mels = torch.empty(3, 1, params.audio.mels, 8, device="meta")
    assert GriffinLim(params.audio, 2).waveforms(log_mels).shape == (3, 8 * params.audio.hop_length)
