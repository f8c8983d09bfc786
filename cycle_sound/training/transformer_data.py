"""What a direction's transformer learns from and is validated on, of a project's data/."""

from collections.abc import Mapping
from typing import Any

import torch

from cycle_sound import paths
from cycle_sound.dataset import pairing, reader
from cycle_sound.dataset.drawn_cache import DrawnCache
from cycle_sound.dataset.feature_cache import FeatureCache
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.io import code
from cycle_sound.params import LONE, Direction, Modality, SplitName, TokensConfig, source_of, target_of
from cycle_sound.training.objectives.transformer import LoneInputs, SplitInputs


def of_pairs(
    direction: Direction, split: SplitName, tokenizers: Mapping[Modality, str], network: str, shards: str
) -> SplitInputs:
    """A split of pairs with its caches, which must have been made by these tokenizers and this network.

    `tokenizers`, `network`: their digests; `network` "": no features are read. `shards`: digest of the shards' index.
    Raises `StaleCache`, `BadTokens`, `BadFeatures`, `BadPairing`, `BadShard`.
    """
    source, target = source_of(direction), target_of(direction)
    tokens = {one: TokenCache(paths.tokens(one), split, tokenizers[one], shards) for one in (source, target)}
    seen = FeatureCache(paths.features(source), split, network, shards) if network else None
    kept = pairing.of(paths.PAIRING, shards) if split == "train" else None
    return SplitInputs(Split(paths.SHARDS, split), tokens[source], tokens[target], seen, kept)


def cached_by(tokens: TokensConfig) -> list[Any]:
    """What the caches of tokens and features depend on beside what they say of themselves, for a training's identity.

    JSON. Their headers name the tokenizer or the network, and the shards; the training has their seed and augmentation.
    """
    return [tokens.model_dump(), code.digest("stages.cache_tokens"), code.digest("stages.cache_features")]


def of_lone(
    direction: Direction, tokenizers: Mapping[Modality, str], shards: str, drawn: DrawnCache | None, keep: float
) -> LoneInputs | None:
    """Unpaired targets with their back-translated sources, of which the best fraction `keep` is used.

    None if there are no targets. Raises `StaleCache`, `BadTokens`, `BadShard`.
    """
    target = target_of(direction)
    pictures = reader.lone(paths.SHARDS, target)
    if pictures is None:
        return None
    tokens = TokenCache(paths.tokens(target), LONE[target], tokenizers[target], shards)
    believed = torch.zeros(len(tokens), dtype=torch.bool) if drawn is None else drawn.best(keep)
    return LoneInputs(pictures, tokens, drawn, believed)
