"""dalle-pytorch 1.6.6 (MIT), the same algorithm, to be measured side by side where it is installed.

pip install --no-deps dalle-pytorch==1.6.6 einops axial-positional-embedding rotary-embedding-torch g-mlp-pytorch \\
    ftfy regex tokenizers requests omegaconf wcwidth "setuptools<80"
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

ABSENT = {"youtokentome": (), "taming": (), "taming.models": (), "taming.models.vqgan": ("VQModel", "GumbelVQ")}


def load() -> Any | None:
    """The package, or None where it is not installed. What it imports without needing it here is stood in for."""
    if importlib.util.find_spec("dalle_pytorch") is None:
        return None
    for name, attributes in ABSENT.items():
        module = ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules.setdefault(name, module)
    import dalle_pytorch

    return dalle_pytorch


def dalle(package: Any) -> Any:
    """The peer's transformer at the sizes of `benchmarks.sizes`: 64 + 256 tokens, vocabulary 1,024."""
    vae = package.DiscreteVAE(image_size=64, num_layers=2, num_tokens=1024, codebook_dim=64, hidden_dim=16)
    sizes = {"dim": 256, "depth": 6, "heads": 8, "dim_head": 32, "num_text_tokens": 1024, "text_seq_len": 64}
    return package.DALLE(vae=vae, attn_types=("full",), rotary_emb=False, shift_tokens=False, **sizes)


def discrete_vae(package: Any) -> Any:
    """The peer's discrete VAE: 64 × 64 pictures, 8 × 8 tokens of 1,024."""
    sizes = {"num_layers": 3, "num_tokens": 1024, "codebook_dim": 512, "hidden_dim": 64, "num_resnet_blocks": 1}
    return package.DiscreteVAE(image_size=64, **sizes)
