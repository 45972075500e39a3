"""A network from a function of the user: what it may return, and faults that are refused before a run."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ripu_ray.config import ModelConfig, load_config
from ripu_ray.errors import ConfigError
from ripu_ray.models.checkpoints import save_safetensors
from ripu_ray.models.factory import load_factory
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import expand
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.estimate import weights_bytes
from ripu_ray.simulation.preflight import check_trials
from tests.conftest import TINY
from tests.running import committed, run_all

MODULES = "tests.models.modules"


@pytest.mark.parametrize("key", ["", "out", "logits"])
def test_a_module_becomes_a_network(key: str) -> None:
    model = ModelConfig(factory=f"{MODULES}:tiny", options={"width": 16, "key": key})
    assert model.name == "factory"
    assert hash(model) == hash(ModelConfig.model_validate(model.model_dump()))
    network = build_network(model, 5, seed=0).eval()
    assert (network.mean, network.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert network(torch.zeros(2, 3, 33, 70)).shape == (2, 5, 9, 18)
    backbone, head = network.parameter_groups()
    assert (len(backbone), len(head)) == (5, 2)
    assert all(name.startswith("model.") for name in network.state_dict())
    again = build_network(model, 5, seed=0).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_buffers_of_the_normalisation_and_tied_weights_are_taken(tmp_path: Path) -> None:
    model = ModelConfig(factory=f"{MODULES}:odd")
    network = build_network(model, 5, seed=0)
    assert (network.mean, network.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert weights_bytes(expand(load_config(None, [*TINY, f"model.factory={MODULES}:odd"]))) > 0
    save_safetensors(tmp_path / "w.safetensors", network.state_dict(), {})
    again = load_file(tmp_path / "w.safetensors")
    assert torch.equal(again["model.tied"], again["model.layer.weight"])


FAULTS = {
    "raises": r"\S+modules\.py, line 88: FileNotFoundError: no weights here$",
    "none": r"returned NoneType, expected a torch\.nn\.Module$",
    "double": r"model\.idle is torch\.float64 on cpu, expected float32 .* on the CPU$",
    "std": r"std is \(0, 1, 1\), expected three finite numbers, and a std above 0$",
    "nan weight": r"model\.idle holds a NaN or an infinity$",
    "untrained": r"the module has no parameter to train$",
    "lazy": r"the module has lazy parameters, expected weights$",
    "batch of one": r"ValueError: Expected more than 1 value per channel when training",
    "classes": r"logits of shape \(1, 9, 8, 12\), expected \(1, 10 classes, h', w'\)$",
    "aspect": r"logits of 12x8 for an image of 32x48: another aspect$",
    "flat": r"logits of shape \(1, 10, 96\), expected",
    "nan": r"a NaN or an infinity among the logits of an image of 32x48$",
    "detached": r"logits have no gradient, so that the module cannot be trained$",
    "half": r"logits of torch\.float16, expected torch\.float32$",
    "tuple": r"TypeError: returned tuple, expected a tensor, or a mapping with out or logits$",
    "nan gradient": r"a NaN or an infinity in the gradient of model\.module\.0\.weight$",
    "in place": r"RuntimeError: one of the variables needed for gradient computation has been modified by an inplace",
    "counts": r"RuntimeError: one of the variables needed for gradient computation has been modified by an inplace",
    "no autocast": r"\S+modules\.py, line \d+: RuntimeError: Index put requires the source and destination",
    "grows": r"model\.late\.weight is absent at first and \(10, 10, 1, 1\) after an image, expected tensors that keep",
    "keys": r"TypeError: returned dict with main, expected a tensor, or a mapping with out or logits$",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_module_is_refused_before_a_run(fault: str) -> None:
    settings = [f"model.factory={MODULES}:faulty", f"model.options.fault={fault}", "training.source_batch=1"]
    settings += ["training.precision=bfloat16"] if fault == "no autocast" else []
    with pytest.raises(ConfigError, match=rf"^model\.factory {MODULES}:faulty: {FAULTS[fault]}"):
        check_trials(expand(load_config(None, [*TINY, *settings])))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_such_package.x:build", "there is no module no_such_package, neither beside .*, nor installed"),
        (f"{MODULES}_:build", f"there is no module {MODULES}_, neither .*"),
        (f"{MODULES}:build", f"the module {MODULES} has no build"),
        (f"{MODULES}:not_a_function", "expected a function, found int"),
    ],
)
def test_a_missing_function_is_named(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^model.factory {reference}: {message}$"):
        load_factory(reference)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.factory=tiny"], "model.factory: expected package.module:function, found 'tiny'"),
        (["model.factory=tiny.py:f"], "model.factory: expected package.module:function, found 'tiny.py:f'"),
        (["model.options.width=8"], "model: options: `compact` has no options; choose name factory"),
        (["model.name=factory"], "model: factory: the network `factory` needs this setting"),
        (["model.name=compact", "model.factory=a:b"], "model: factory: `compact` has no factory; choose name factory"),
        (["model.factory=a:b", "model.options.num_classes=3"], "model.options: num_classes is given by the data"),
        (["model.factory=a:b", "model.options={x: .nan}"], "model.options.x: expected a finite number"),
        (["model.factory=a:b", "model.options={x: 2020-01-01}"], "model.options.x: input was not a valid JSON value"),
        (["model.name=backbone"], "model: checkpoint: the network `backbone` needs this setting"),
        (["model.name=backbone", "model.checkpoint=s3://b/c"], "s3://b/c: expected a folder of this machine"),
    ],
)
def test_settings_that_do_not_fit_get_one_line(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, settings)
    assert message in str(caught.value)


def test_a_run_with_a_factory_resumes_to_equal_weights(tmp_path: Path) -> None:
    settings = [f"model.factory={MODULES}:tiny", "model.options.key=out", "training.ema=0.9", "cluster.scorers=0"]
    config = load_config(None, [*TINY, *settings])
    notes: list[str] = []
    check_trials(expand(config), notify=notes.append)
    assert notes == []
    first = run_all(tmp_path / "first", config)
    assert RunFolder(first.path).config == config
    second = run_all(tmp_path / "second", config)
    assert committed(first, ("weights.pt",)) == committed(second, ("weights.pt",))
