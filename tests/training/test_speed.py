"""What makes training faster leaves the method alone: precision, memory layout, compilation, the cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.models.networks import build_network
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.speed import fastest
from tests.data.folders import write_data_set
from tests.running import ignore_steps, trained

FASTER: dict[str, dict[str, object]] = {
    "bfloat16": {"precision": "bfloat16"},
    "channels_last": {"channels_last": True},
    "both": {"precision": "bfloat16", "channels_last": True},
}


def with_training(config: Config, **settings: object) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def assert_near(config: Config, plain: Config, folder: Path, rel: float) -> None:
    (state, losses), (expected, expected_losses) = trained(config, folder / "a.pt"), trained(plain, folder / "b.pt")
    assert losses == pytest.approx(expected_losses, rel=rel)
    assert list(state.network) == list(expected.network)
    for tensor in state.network.values():
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
    # Scorers, evaluation and `init_from` take the file as any other.
    build_network(config.model, open_domains(config.data).classes.num_classes, 1).load_state_dict(state.network)


@pytest.mark.parametrize("name", FASTER)
def test_the_losses_are_nearly_the_same(tiny: Config, tmp_path: Path, name: str) -> None:
    faster = with_training(tiny, **FASTER[name])
    assert_near(faster, tiny, tmp_path, rel=1e-4 if name == "channels_last" else 0.03)


@pytest.mark.parametrize("name", FASTER)
def test_a_phase_in_two_parts_is_the_phase(tiny: Config, tmp_path: Path, name: str) -> None:
    config = with_training(tiny, **FASTER[name])
    tuner = LocalFineTuner(config)
    tuner.fit(TrainingJob(config, 0, 4, None, tmp_path / "whole.pt", "warm-up"), ignore_steps)
    tuner.fit(TrainingJob(config, 0, 1, None, tmp_path / "part.pt", "warm-up"), ignore_steps)
    tuner.fit(TrainingJob(config, 1, 3, tmp_path / "part.pt", tmp_path / "rest.pt", "warm-up"), ignore_steps)
    assert (tmp_path / "rest.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_bfloat16_reaches_the_network_and_not_the_losses(tiny: Config, tmp_path: Path) -> None:
    """The losses differ from float32's, or nothing was gained; and they have digits that bfloat16 has not."""
    _, plain = trained(tiny, tmp_path / "a.pt", num_steps=1)
    _, losses = trained(with_training(tiny, precision="bfloat16"), tmp_path / "b.pt", num_steps=1)
    for name, loss in losses.items():
        assert loss != plain[name] or loss == 0
    assert any(float(torch.tensor(loss, dtype=torch.bfloat16)) != loss for loss in losses.values())


def test_training_from_the_cache_is_training_from_the_files(tiny: Config, tmp_path: Path) -> None:
    data = write_data_set(tmp_path).model_copy(update={"label_size": (24, 40), "input_size": (16, 24)})
    plain = tiny.model_copy(update={"data": data})
    cached = tiny.model_copy(update={"data": data.model_copy(update={"cache": tmp_path / "cache"})})
    for config, name in ((plain, "plain.pt"), (cached, "empty.pt"), (cached, "full.pt")):
        trained(config, tmp_path / name)
    expected = (tmp_path / "plain.pt").read_bytes()
    assert expected == (tmp_path / "empty.pt").read_bytes() == (tmp_path / "full.pt").read_bytes()


def test_any_number_of_loaders_draws_the_same(tiny: Config, tmp_path: Path) -> None:
    tiny = with_training(tiny, source_sampling="rarity")
    for loaders in (1, 3):
        cluster = tiny.cluster.model_copy(update={"loader_threads": loaders})
        trained(tiny.model_copy(update={"cluster": cluster}), tmp_path / f"{loaders}.pt")
    assert (tmp_path / "1.pt").read_bytes() == (tmp_path / "3.pt").read_bytes()


@pytest.mark.slow
def test_a_missing_compiler_is_said_before_anything_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from ripu_cli.main import app; app()", "sweep"]
    without = os.environ | {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    done = subprocess.run(
        [*command, "--set", "training.compile=true"], cwd=tmp_path, env=without, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "training.compile: torch.compile does not work on this machine" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler imports what torch itself deprecates
def test_a_compiled_network_trains_alike_and_keeps_its_names(tiny: Config, tmp_path: Path) -> None:
    assert_near(with_training(tiny, compile=True), tiny, tmp_path, rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_every_network_of_a_process_is_compiled(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process runs one trial after another: a later one must not train in another way because of earlier ones."""
    compiled: list[torch.fx.GraphModule] = []

    def compile_nothing(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    monkeypatch.setattr("torch._dynamo.config.recompile_limit", 1)  # torch's own is 8
    numbers = []
    with torch.compiler.set_stance("default", force_backend=compile_nothing):
        for width in (40, 48, 56):
            model = tiny.model.model_copy(update={"width": width})
            config = with_training(tiny, compile=True).model_copy(update={"model": model})
            trained(config, tmp_path / f"{width}.pt", num_steps=1)
            numbers.append(len(compiled))
    assert numbers == [1, 2, 3]


def test_auto_takes_what_was_measured_on_a_gpu_only(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    auto = with_training(tiny, speed="auto")
    assert fastest(auto, "cpu") is auto
    assert fastest(tiny, "cuda") is tiny
    training = fastest(auto, "cuda:0").training
    assert (training.precision, training.cuda_graph, training.compile) == ("bfloat16", True, False)
    deep = auto.model_copy(update={"model": auto.model.model_copy(update={"name": "deeplabv2"})})
    assert fastest(deep, "cuda").training.compile
    with monkeypatch.context() as without_headers:
        without_headers.setattr("sysconfig.get_path", lambda name: "/nowhere")
        assert not fastest(deep, "cuda").training.compile
    monkeypatch.setenv("PATH", "/nowhere")  # Triton finds no C compiler
    monkeypatch.delenv("CC", raising=False)
    training = fastest(deep, "cuda").training
    assert (training.cuda_graph, training.compile, training.channels_last) == (True, False, False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: including_emulation)
    training = fastest(auto, "cuda").training
    assert (training.precision, training.cuda_graph) == ("float32", True)
    foreign = auto.model_copy(update={"model": auto.model.model_copy(update={"name": "transformers"})})
    assert fastest(foreign, "cuda").training.precision == "float32"
