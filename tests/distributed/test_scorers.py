"""The pool of scoring actors: the same purchases with any number of them, and after deaths."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from numpy.typing import NDArray

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed import cluster, scorers
from ripu_ray.distributed.actor_pool import ScorerPool
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.distributed.scorers import RayScorer, ScoringActor
from ripu_ray.errors import ClusterError, NonFiniteError
from ripu_ray.models.networks import build_network
from ripu_ray.runs.event_log import ignore_warning
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.simulation.local import LocalScorer
from ripu_ray.simulation.pool import measure_signals, select_regions
from ripu_ray.simulation.protocols import Scorer, ScoreRequest
from ripu_ray.training.checkpoint import TrainingState
from ripu_ray.training.heartbeat import Heartbeat
from tests.conftest import TINY
from tests.running import into

pytestmark = pytest.mark.usefixtures("ray_cpus")
EMPTY, CENTRE = np.empty((0, 2), np.int32), np.full((1, 2), 9, np.int32)
NO_OPTIMISER: dict[str, Any] = {"state": {}, "param_groups": []}


def _config(scorers: int | str, *more: str) -> Config:
    return load_config(None, (*TINY, "data.num_pool=20", f"cluster.scorers={scorers}", *more))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = _config(0)
    num_classes = open_domains(config.data).classes.num_classes
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    TrainingState(build_network(config.model, num_classes, seed=3).state_dict(), NO_OPTIMISER, 0).save(path)
    return path


def _requests(config: Config) -> list[ScoreRequest]:
    return [ScoreRequest(image_id, EMPTY) for image_id in open_domains(config.data).pool.image_ids]


def _purchase(scorer: Scorer, config: Config, weights: Path, folder: Path) -> bytes:
    ledger = Ledger(folder, open_domains(config.data).pool.image_ids, 9)
    ledger.commit(0, scorer.score(weights, 0, _requests(config)))
    num_classes = open_domains(config.data).classes.num_classes
    assert ledger.class_pixels(num_classes).sum() + ledger.spent.void_pixels == ledger.spent.pixels
    return (folder / "round_00" / "purchase.parquet").read_bytes()


@pytest.fixture
def closing() -> Iterator[list[RayScorer]]:
    """Scorers put into this list are closed after the test."""
    scorers: list[RayScorer] = []
    yield scorers
    for scorer in scorers:
        scorer.close()


@pytest.mark.parametrize("number", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, "auto"))])
def test_any_number_of_actors_or_none_buy_the_same(
    number: int | str, weights: Path, tmp_path: Path, closing: list[RayScorer]
) -> None:
    local = LocalScorer(_config(0))
    expected = _purchase(local, _config(0), weights, tmp_path / "local")
    config = _config(number)
    closing.append(scorer := RayScorer(config, keep=True, share=2))
    assert _purchase(scorer, config, weights, tmp_path / str(number)) == expected
    assert np.array_equal(scorer.evaluate(weights), local.evaluate(weights))


@pytest.mark.parametrize("decoders", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (0, 1))])
def test_any_number_of_decoders_buy_the_same(
    decoders: int, weights: Path, tmp_path: Path, closing: list[RayScorer]
) -> None:
    config = _config(1, f"cluster.decoders={decoders}")
    closing.append(actors := RayScorer(config, keep=True))
    those: dict[str, Scorer] = {"plain": LocalScorer(_config(0)), "local": LocalScorer(config), "ray": actors}
    results = []
    for name, scorer in those.items():
        bought = _purchase(scorer, config, weights, tmp_path / name)
        counts = sum(scorer.count_voids(weights, [replace(each, centres_N2=CENTRE) for each in _requests(config)]))
        samples = sorted(
            (sample.image_id, sample.predicted_N.tobytes()) for sample in scorer.sample(weights, _requests(config))
        )
        confusion = scorer.evaluate(weights).tobytes()
        results.append((bought, np.asarray(counts).tobytes(), samples, confusion))
    assert results[0] == results[1] == results[2]


@pytest.mark.slow
def test_what_is_learned_and_sampled_is_the_same_on_every_actor(
    weights: Path, tmp_path: Path, closing: list[RayScorer]
) -> None:
    more = ("strategy.acquisition=clasp_pe", "strategy.avoid_void=learned", "strategy.allocation=pool")
    reached = []
    for number in (0, 3):
        config = _config(number, *more)
        domains, scorer = open_domains(config.data), LocalScorer(config) if not number else RayScorer(config, keep=True)
        if isinstance(scorer, RayScorer):
            closing.append(scorer)
        ledger = Ledger(tmp_path / str(number), domains.pool.image_ids, 9)
        for round_index in range(2):
            ledger.commit(round_index, select_regions(config, round_index, weights, ledger, domains, scorer))
        signals = measure_signals(config, weights, weights, ledger, domains, scorer)
        assert signals["kappa"] == 1
        reached.append((ledger.digest(0), ledger.digest(1), signals))
    assert reached[0] == reached[1]


@pytest.mark.slow
def test_superpixels_are_the_same_on_every_actor(weights: Path, tmp_path: Path, closing: list[RayScorer]) -> None:
    more = ("strategy.shape=superpixels", "strategy.windows.region=5", "strategy.allocation=pool")
    expected = _purchase(LocalScorer(_config(0, *more)), _config(0, *more), weights, tmp_path / "local")
    for number in (1, 3):
        config = _config(number, *more)
        closing.append(scorer := RayScorer(config, keep=True))
        assert _purchase(scorer, config, weights, tmp_path / str(number)) == expected
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
    """Dies of one image of the pool, and of one for validation."""

    def evaluate(self, weights: Any, image_ids: list[str]) -> NDArray[np.int64]:
        if any(image_id.endswith("val/00001") for image_id in image_ids):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(weights, image_ids)

    def score(self, weights: Any, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
        if any(request.image_id.endswith("00007") for request in requests):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(weights, round_index, requests)


@pytest.mark.slow
def test_actors_that_are_killed_are_replaced_and_nothing_is_lost(
    weights: Path, tmp_path: Path, closing: list[RayScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    graves = tmp_path / "graves"
    graves.mkdir()
    config = _config(2)
    expected = _purchase(LocalScorer(_config(0)), config, weights, tmp_path / "local")
    monkeypatch.setattr(scorers, "ScoringActor", _with_environment(_Suicidal, {"RIPU_TEST_GRAVES": str(graves)}))
    said: list[str] = []
    closing.append(scorer := RayScorer(config, keep=True, warn=into(said)))
    assert _purchase(scorer, config, weights, tmp_path / "ray") == expected
    assert len(list(graves.iterdir())) == 2
    # One line for each of them, and not one for each batch that it had.
    says = r"a scorer on node [0-9.]+ \([0-9a-f]{8}\) died: \d+ images? to score again; another one is started"
    died = [line for line in said if "have waited for" not in line]
    assert len(died) == 2
    assert all(re.match(says, line) for line in died)


@pytest.mark.slow
@pytest.mark.parametrize("decoders", [0, 1])
def test_an_image_that_kills_its_actors_is_given_up_by_name(
    decoders: int, weights: Path, tmp_path: Path, closing: list[RayScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders read the images of the next batch while the actor scores others, which are not to blame."""
    config = _config(1, "cluster.max_failures=2", f"cluster.decoders={decoders}")
    monkeypatch.setattr(scorers, "ScoringActor", _Poisoned)
    closing.append(scorer := RayScorer(config, keep=True))
    with pytest.raises(ClusterError, match=r"image .*00007: its scoring actor died 3 times; given up"):
        _purchase(scorer, config, weights, tmp_path)
    with pytest.raises(ClusterError, match=r"image .*val/00001: its scoring actor died 3 times; given up"):
        scorer.evaluate(weights)


def test_images_that_died_together_are_not_blamed_one_by_one() -> None:
    pool = ScorerPool(
        lambda: (None, ray.put(None)), load_config(None, ["cluster.max_failures=0"]).cluster, ignore_warning
    )
    for number, among in ((1, ""), (8, " or one of 7 images sent with it")):
        with pytest.raises(ClusterError, match=rf"^image 0{among}: its scoring actor died 1 time; given up$"):
            pool._blame(Counter(), {str(name): 1 for name in range(number)} | {"not begun": 0})


def _with_environment(actor: type[ScoringActor], variables: dict[str, str]) -> type[ScoringActor]:
    class WithEnvironment(actor):  # type: ignore[misc,valid-type]
        def __init__(self, config: Config, device: str) -> None:
            os.environ.update(variables)
            super().__init__(config, device)

    return WithEnvironment


def test_a_nan_names_round_and_image(tmp_path: Path, closing: list[RayScorer]) -> None:
    config = _config(1)
    network = build_network(config.model, open_domains(config.data).classes.num_classes, seed=0)
    # Weights that are not finite themselves are refused before: these overflow.
    state = {
        name: tensor * 1e30 if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()
    }
    TrainingState(state, NO_OPTIMISER, 0).save(tmp_path / "nan.pt")
    closing.append(scorer := RayScorer(config, keep=True))
    with pytest.raises(NonFiniteError, match=r"round 0, image target/train/0+\d+: "):
        list(scorer.score(tmp_path / "nan.pt", 0, _requests(config)))


def test_new_weights_reach_running_actors(weights: Path, tmp_path: Path, closing: list[RayScorer]) -> None:
    config = _config(1)
    num_classes = open_domains(config.data).classes.num_classes
    state = build_network(config.model, num_classes, seed=4).state_dict()
    TrainingState(state, NO_OPTIMISER, 0).save(tmp_path / "other.pt")
    closing.append(scorer := RayScorer(config, keep=True))
    first, second, third = (scorer.evaluate(path) for path in (weights, tmp_path / "other.pt", weights))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_scorers_that_cannot_start_say_what_they_ask(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        def ready(self) -> None:
            """Nothing more to do."""

    greedy: Any = ray.remote(Greedy).options(num_cpus=2).remote()
    ray.get(greedy.ready.remote())
    config = _config(3, "cluster.start_timeout_s=1")
    monkeypatch.setattr(cluster, "NOTICE_S", 0.5)
    said: list[str] = []
    there_is = r"the cluster has 4 CPU \(\d free\), 0 GPU \(0 free\)"
    try:
        with pytest.raises(ClusterError, match=rf"3 scorers, each of 1 CPU, did not start within 1 s; {there_is}"):
            list(RayScorer(config, keep=True, warn=into(said)).score(weights, 0, _requests(config)))
    finally:
        ray.kill(greedy)
    (line,) = said
    assert re.fullmatch(rf"3 scorers, each of 1 CPU, have waited for \d+ s; {there_is}", line)


@pytest.mark.slow
def test_scorers_that_never_fit_are_left_out_with_a_word(
    weights: Path, closing: list[RayScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorers, "alive_nodes", lambda: [{"CPU": 2.0}])
    said: list[str] = []
    closing.append(scorer := RayScorer(_config(3), keep=False, warn=into(said)))
    for _ in range(2):
        scorer.acquire()
        assert len(scorer._pool._nodes) == 2
        scorer.release()
    assert [line for line in said if "have waited for" not in line] == [
        "3 scorers are requested, the remaining nodes can hold 2: the trial continues with them"
    ]


def test_a_region_travels_in_under_sixteen_bytes() -> None:
    number = 1000
    selection = Selection(
        "image",
        np.zeros((number, 2), np.uint16),
        np.zeros(number, np.float32),
        np.full(number, 4225, np.uint32),
        np.zeros(number, np.uint32),
        np.full(number, 8320, np.uint32),
        np.full((1, 19), 4225 * number // 19, np.int64),
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
    (actor,) = scorer._pool._nodes
    scorer.release()
    _await_end(actor)


def test_a_trial_takes_the_actors_that_another_one_left(weights: Path, tmp_path: Path) -> None:
    config, other = _config(1), _config(1, "strategy.acquisition=entropy", "strategy.budget=9px")
    pids, bought = [], []
    for number, part in enumerate((config, other, config)):
        scorer = RayScorer(part, keep=True, hand_over=True)
        bought.append(_purchase(scorer, part, weights, tmp_path / str(number)))
        (actor,) = scorer._pool._nodes
        pids.append(actor._actor_id)
        scorer.close()
    assert len(set(pids)) == 1
    assert bought[0] == bought[2] == _purchase(LocalScorer(_config(0)), config, weights, tmp_path / "local")
    assert bought[1] == _purchase(LocalScorer(other), other, weights, tmp_path / "local other") != bought[0]
    # A trial of another kind ends them, so that their cores are free.
    RayScorer(_config(2), keep=True, hand_over=True)
    _await_end(actor)


def _await_end(actor: Any) -> None:
    """Ask until the actor is dead. Ray ends a killed actor asynchronously, so that it may still answer for a while."""
    with pytest.raises(ray.exceptions.RayActorError):
        for _ in range(10_000):
            ray.get(actor.ready.remote())


def test_a_trial_with_scorers_on_gpus_needs_no_gpu_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray hides the GPUs from a process that holds none, such as that of a trial whose scorers hold them.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = load_config(None, (*TINY, "cluster.gpu=true", "cluster.scorers=1", "cluster.train_workers=1"))
    run = RunFolder.create(tmp_path / "run", config)
    with Heartbeat(tmp_path / "at.json", "here") as heartbeat:
        parts = ray_parts()
        parts.scorer(config, heartbeat, run, "trial", ignore_warning).close()
        parts.fine_tuner(config, heartbeat, run, "trial", ignore_warning)
