"""The pool of scoring actors: the same purchases however many they are, and whoever dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed import scoring
from ripu_ray.distributed.scoring import RayScorer, ScoringActor
from ripu_ray.errors import ClusterError, NonFiniteError
from ripu_ray.models.networks import build_network
from ripu_ray.simulation.checkpoint import TrainingState
from ripu_ray.simulation.ledger import Ledger
from ripu_ray.simulation.local import LocalScorer
from ripu_ray.simulation.protocols import Scorer, ScoreRequest
from ripu_ray.simulation.selections import PackedSelections, Selection
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("ray_cpus")
EMPTY = np.empty((0, 2), np.int32)


def _config(scorers: int, *more: str) -> Config:
    return load_config(None, (*TINY, "data.num_pool=20", f"cluster.scorers={scorers}", *more))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = _config(0)
    num_classes = open_domains(config.data).classes.num_classes
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    TrainingState(build_network(config.model, num_classes, seed=3).state_dict(), {}, 0).save(path)
    return path


def _requests(config: Config) -> list[ScoreRequest]:
    return [ScoreRequest(image_id, EMPTY) for image_id in open_domains(config.data).pool.image_ids]


def _purchase(scorer: Scorer, config: Config, weights: Path, folder: Path) -> bytes:
    ledger = Ledger(folder, open_domains(config.data).pool.image_ids, 9)
    ledger.commit(0, scorer.score(weights, 0, _requests(config)))
    return (folder / "round_00" / "purchase.parquet").read_bytes()


@pytest.fixture
def closing() -> Iterator[list[RayScorer]]:
    """Scorers put into this list are closed after the test."""
    scorers: list[RayScorer] = []
    yield scorers
    for scorer in scorers:
        scorer.close()


def test_one_or_three_actors_or_none_buy_the_same(weights: Path, tmp_path: Path, closing: list[RayScorer]) -> None:
    local = LocalScorer(_config(0))
    expected = _purchase(local, _config(0), weights, tmp_path / "local")
    for number in (1, 3):
        config = _config(number)
        closing.append(scorer := RayScorer(config, keep=True))
        assert _purchase(scorer, config, weights, tmp_path / str(number)) == expected
        assert np.array_equal(scorer.evaluate(weights).confusion_CC, local.evaluate(weights).confusion_CC)
        scorer.close()


class _Suicidal(ScoringActor):
    """Dies at its first batch, like a machine that is taken away; which one did is written down in a folder."""

    def score(self, weights: Any, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
        folder = Path(os.environ["RIPU_TEST_GRAVES"])
        if len(list(folder.iterdir())) < 2:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(weights, round_index, requests)


class _Poisoned(ScoringActor):
    """Dies of one image."""

    def score(self, weights: Any, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
        if any(request.image_id.endswith("00007") for request in requests):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(weights, round_index, requests)


def test_actors_that_are_killed_are_replaced_and_nothing_is_lost(
    weights: Path, tmp_path: Path, closing: list[RayScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    graves = tmp_path / "graves"
    graves.mkdir()
    config = _config(2)
    expected = _purchase(LocalScorer(_config(0)), config, weights, tmp_path / "local")
    monkeypatch.setattr(scoring, "ScoringActor", _with_environment(_Suicidal, {"RIPU_TEST_GRAVES": str(graves)}))
    closing.append(scorer := RayScorer(config, keep=True))
    assert _purchase(scorer, config, weights, tmp_path / "ray") == expected
    assert len(list(graves.iterdir())) == 2


def test_an_image_that_kills_its_actors_is_given_up_by_name(
    weights: Path, tmp_path: Path, closing: list[RayScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(1, "cluster.max_failures=2")
    monkeypatch.setattr(scoring, "ScoringActor", _Poisoned)
    closing.append(scorer := RayScorer(config, keep=True))
    with pytest.raises(ClusterError, match=r"image .*00007: its scoring actor died 3 times; given up"):
        _purchase(scorer, config, weights, tmp_path)


def _with_environment(actor: type[ScoringActor], variables: dict[str, str]) -> type[ScoringActor]:
    class WithEnvironment(actor):  # type: ignore[misc,valid-type]
        def __init__(self, config: Config, device: str) -> None:
            os.environ.update(variables)
            super().__init__(config, device)

    return WithEnvironment


def test_a_nan_names_round_and_image(tmp_path: Path, closing: list[RayScorer]) -> None:
    config = _config(1)
    network = build_network(config.model, open_domains(config.data).classes.num_classes, seed=0)
    state = {name: tensor * float("nan") for name, tensor in network.state_dict().items()}
    TrainingState(state, {}, 0).save(tmp_path / "nan.pt")
    closing.append(scorer := RayScorer(config, keep=True))
    with pytest.raises(NonFiniteError, match=r"round 0, image target/train/0+\d+: "):
        list(scorer.score(tmp_path / "nan.pt", 0, _requests(config)))


def test_new_weights_reach_running_actors(weights: Path, tmp_path: Path, closing: list[RayScorer]) -> None:
    config = _config(1)
    num_classes = open_domains(config.data).classes.num_classes
    TrainingState(build_network(config.model, num_classes, seed=4).state_dict(), {}, 0).save(tmp_path / "other.pt")
    closing.append(scorer := RayScorer(config, keep=True))
    first, second, third = (scorer.evaluate(path).confusion_CC for path in (weights, tmp_path / "other.pt", weights))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_scorers_that_cannot_start_say_what_they_ask(weights: Path) -> None:
    config = _config(9, "cluster.start_timeout_s=1")
    with pytest.raises(ClusterError, match=r"9 scorers did not start within 1 s: \d of them wait, free: "):
        list(RayScorer(config, keep=True).score(weights, 0, _requests(config)))


def test_a_region_travels_in_under_sixteen_bytes() -> None:
    number = 1000
    selection = Selection(
        "image",
        np.zeros((number, 2), np.uint16),
        np.zeros(number, np.float32),
        np.full(number, 4225, np.uint32),
        np.zeros(number, np.uint32),
    )
    packed = PackedSelections.pack([selection] * 8)
    arrays = [getattr(packed, name) for name in packed.__dataclass_fields__]
    assert sum(array.nbytes for array in arrays) < 16 * 8 * number
    (first, *_), unpacked = list(packed.unpack(list("abcdefgh"))), list(packed.unpack(list("abcdefgh")))
    assert first.pixels_N.dtype == np.uint32
    assert [selection.image_id for selection in unpacked] == list("abcdefgh")
    assert all(np.array_equal(one.pixels_N, selection.pixels_N) for one in unpacked)


def test_actors_end_with_their_scorer(weights: Path) -> None:
    scorer = RayScorer(_config(1), keep=False)
    scorer.evaluate(weights)
    (actor,) = scorer._actors
    scorer.release()
    with pytest.raises(ray.exceptions.RayActorError):
        for _ in range(10_000):  # Ray ends actors in its own time
            ray.get(actor.ready.remote())
