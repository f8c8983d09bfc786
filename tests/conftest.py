"""Parameters for tests: the committed ones, and tiny ones; and models that nobody trained."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_project
from pipelines import build, copied, dvc

from cycle_sound import params as parameters
from cycle_sound.io import params_file
from cycle_sound.params import Params

os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait for one another crawl on a loaded machine; tiny models need one
os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # workers that no test asks for take longer to start than there is work for them
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job in the background, and in what it would start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Two processes for each core: some tests wait for servers and processes of their own, and other work takes turns.

    Beside four busy processes on two cores, four processes get half of the time of both, three get three sevenths.
    """
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session", autouse=True)
def small_batches() -> Iterator[None]:
    """Generation takes few rows at a time: most tests give it one, and the others then fill more than one batch."""
    from cycle_sound.inference import fixed_batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fixed_batches.FIXED_BATCH, "cpu", 4)
        yield


@pytest.fixture(autouse=True)
def usual_interrupts() -> Iterator[None]:
    """What a stage that ran in this process made of Ctrl-C ends with its test: such a process ignores it at the end."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def tree() -> dict[str, Any]:
    """The committed params.yaml, parsed: a fresh copy to spoil."""
    return tiny_project.committed()


@pytest.fixture
def params(tree: dict[str, Any]) -> Params:
    """The committed params.yaml."""
    return parameters.parse(tree)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """`tiny(**over)`: the committed tree made tiny, and changed by `over`."""
    return tiny_project.tree


@pytest.fixture(scope="session")
def write_tiny() -> Callable[..., None]:
    """`write_tiny(folder, **over)`: write the tiny tree as folder/params.yaml."""
    return tiny_project.write


@pytest.fixture
def tiny_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """`tiny_params(**data)`: parameters for a few pairs, in a folder that is also the current one.

    A stage's jobs run in this process, one after another.
    """
    from cycle_sound.io import pool

    def made(**data: Any) -> Params:
        tiny_project.write(tmp_path, data={"synthetic": {"train_pairs": 6, "test_pairs": 4}, **data})
        return params_file.load(tmp_path / "params.yaml")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "here", lambda jobs, workers, here=pool.here: here(jobs, 1))
    return made


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the toy orchestra's whole pipeline made, tiny, and known to DVC. Not to be changed."""
    folder = copied(tmp_path_factory.mktemp("built") / "project")
    tiny_project.write(folder)
    build(folder)
    dvc(folder, "commit", "--force")
    return folder


@pytest.fixture(scope="session")
def untrained() -> Callable[..., Path]:
    """`untrained(folder, condition, codebooks)`: tiny models with random weights, as in a project; its data/."""
    return tiny_project.untrained


@pytest.fixture
def small_network() -> Iterator[None]:
    """Torchvision's one classifier is a small network meanwhile, of the name resnet18."""
    with tiny_project.small_networks():
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data/ of a project with untrained models. Not to be changed."""
    return tiny_project.untrained(tmp_path_factory.mktemp("project"))


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, int, Callable[[], Any]], None]:
    """`kill(objective, step, train)`: run a training that writes a snapshot after every step, and is killed in one."""

    def killing(objective: Any, step: int, train: Callable[[], Any]) -> None:
        loss = objective.loss

        def killed(self: Any, batch: Any, at: int, rng: Any) -> Any:
            if at == step:
                raise KeyboardInterrupt
            return loss(self, batch, at, rng)

        monkeypatch.setattr("cycle_sound.training.resume.SECONDS", 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(objective, "loss", killed)
            with pytest.raises(KeyboardInterrupt):
                train()

    return killing
