"""Devices that nobody here has."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Apple(Tensor):
    """Stands for a tensor on Apple's GPU, with two operations of which some versions of torch lack some cases there."""

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if function is F.interpolate and given.get("antialias"):
            raise NotImplementedError("The operator 'aten::_upsample_bilinear2d_aa.out' is not implemented for MPS.")
        if function is F.adaptive_avg_pool2d and args[0].shape[-1] % args[1]:
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes.")
        if function == Tensor.device.__get__:  # type: ignore[attr-defined]
            return torch.device("mps")
        if function is Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(Tensor)
        return super().__torch_function__(function, types, args, given)
