"""The section `model`: the network, its settings, and the weights that it starts from."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ripu_ray.config.fields import Checkpoint, FilePath, Number, Section, Url
from ripu_ray.config.registry import NETWORKS

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text) or ".py:" in text:
        raise ValueError(f"expected package.module:function, found {text!r}")
    return text


def _arguments(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if "num_classes" in options:
        raise ValueError("num_classes is given by the data: leave it out of the options")
    return options


class ModelConfig(Section):
    """The network and its initial weights."""

    name: Annotated[str, AfterValidator(NETWORKS.check)] = "compact"
    """Name of a registered network; docs/networks.md lists them."""
    width: Annotated[int, Number] = Field(32, ge=8, le=1024, multiple_of=8)
    """Channels of `compact`. The other networks have fixed widths."""
    backbone_weights: Url | FilePath | None = Field(None, union_mode="left_to_right")
    """File or URL with ImageNet weights of ResNet-101, for `deeplabv2` and `deeplabv3plus`. Parameters have
    torchvision's names."""
    init_from: FilePath | None = None
    """Initial weights: a checkpoint, a state dict or a .safetensors file. Checkpoints are those of ripu-ray or of the
    reference implementation."""
    pretrained: Literal["auto", "imagenet", "none"] = "auto"
    """ImageNet weights of an installed package, for `efficientnet_lite0`, 1 and 2. auto: `imagenet` if the package is
    installed and there is no `init_from`, else `none`. The run folder stores the resolved value."""
    output_stride: Literal[8, 16] = 16
    """Input pixels per row of the deepest features of `efficientnet_lite0`, 1 and 2. 8 is finer and slower."""
    factory: Annotated[str, AfterValidator(_reference)] | None = None
    """For `factory`: package.module:function, called as function(num_classes=C, **options), which returns a torch
    module. A factory without a name selects the network `factory`."""
    options: Annotated[dict[str, JsonValue], AfterValidator(_arguments)] = Field({})
    """For `factory`: further arguments of the function."""
    checkpoint: Checkpoint | None = None
    """For `transformers` and `backbone`: a folder, or an id of the Hugging Face Hub. The folder has config.json and
    model.safetensors. A text that could be both is a folder if the folder exists when the configuration is read."""
    head: Literal["linear", "aspp"] = "linear"
    """For `backbone`: one convolution of all features, or spatial pyramid pooling (aspp) of the deepest features."""

    @property
    def is_trained(self) -> bool:
        """Whether weights are trained at the start: all, or the encoder's. A network of one's own may load some."""
        weights = self.init_from or self.backbone_weights or self.pretrained == "imagenet"
        return bool(weights or NETWORKS[self.name].is_foreign)

    @model_validator(mode="before")
    @classmethod
    def _factory_is_a_name(cls, tree: Any) -> Any:
        if isinstance(tree, Mapping) and tree.get("factory") and "name" not in tree:
            return {**tree, "name": "factory"}
        return tree

    @model_validator(mode="after")
    def _weights_have_a_use(self) -> Self:
        wanted = {
            "backbone_weights": self.backbone_weights and "ResNet-101",
            "pretrained": self.pretrained == "imagenet" and "packaged ImageNet weights",
            "output_stride": self.output_stride != 16 and "output stride to choose",
            "factory": self.factory and "factory",
            "options": self.options and "options",
            "checkpoint": self.checkpoint and "checkpoint to read",
            "head": self.head != "linear" and "head to choose",
        }
        for key, what in wanted.items():
            if what and key not in NETWORKS[self.name].takes:
                takers = [name for name, builder in NETWORKS.usable().items() if key in builder.takes]
                raise ValueError(f"{key}: `{self.name}` has no {what}; choose name {' or '.join(takers)}")
            if what and self.init_from and key in ("backbone_weights", "pretrained"):
                raise ValueError(f"{key} and init_from: init_from replaces every weight; name one of them")
        for key in sorted(NETWORKS[self.name].needs):
            if not getattr(self, key):
                raise ValueError(f"{key}: the network `{self.name}` needs this setting")
        if self.pretrained == "auto":
            module = NETWORKS[self.name].module
            found = module and not self.init_from and find_spec(module)
            object.__setattr__(self, "pretrained", "imagenet" if found else "none")
        return self

    @model_serializer(mode="wrap")
    def _without_other_networks(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later settings that this network does not take: they would change the keys of older warm-ups."""
        later = {"pretrained", "output_stride", "factory", "options", "checkpoint", "head"}
        absent = later - NETWORKS[self.name].takes
        return {key: value for key, value in serialize(self).items() if key not in absent}
