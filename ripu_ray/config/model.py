"""The section `model`: the network, its settings, and the weights that it starts from."""

from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ripu_ray.config.fields import FilePath, Number, Section, Url
from ripu_ray.config.registry import NETWORKS


class ModelConfig(Section):
    """The network."""

    name: Annotated[str, AfterValidator(NETWORKS.check)] = "compact"
    width: Annotated[int, Number] = Field(32, ge=8, le=1024, multiple_of=8)
    """Channels of `compact`; the others' are given."""
    backbone_weights: Url | FilePath | None = Field(None, union_mode="left_to_right")
    """ImageNet weights of ResNet-101 with torchvision's names, for a fresh `deeplabv2` or `deeplabv3plus`: a file, or
    where to fetch it."""
    init_from: FilePath | None = None
    """Checkpoint whose weights a fresh network takes: one of ours, or one that the reference published."""
    pretrained: Literal["auto", "imagenet", "none"] = "auto"
    """ImageNet weights of an installed package, for a fresh `efficientnet_lite0`, 1 or 2. auto: where the package is
    installed and there is no `init_from`; it becomes one of the others when the configuration is read, so that a run
    folder says which."""
    output_stride: Literal[8, 16] = 16
    """Input pixels for each row of the deepest features of `efficientnet_lite0`, 1 or 2; 8 is finer and slower."""

    @model_validator(mode="after")
    def _weights_have_a_use(self) -> Self:
        wanted = {
            "backbone_weights": self.backbone_weights and "ResNet-101",
            "pretrained": self.pretrained == "imagenet" and "packaged ImageNet weights",
            "output_stride": self.output_stride != 16 and "output stride to choose",
        }
        for key, what in wanted.items():
            takers = [name for name in NETWORKS.names() if key in NETWORKS[name].takes]
            if what and self.name not in takers:
                raise ValueError(f"{key}: `{self.name}` has no {what}; choose name {' or '.join(takers)}")
            if what and self.init_from and key != "output_stride":
                raise ValueError(f"{key} and init_from: init_from replaces every weight; name one of them")
        if self.pretrained == "auto":
            module = NETWORKS[self.name].module
            found = module and not self.init_from and find_spec(module)
            object.__setattr__(self, "pretrained", "imagenet" if found else "none")
        return self

    @model_serializer(mode="wrap")
    def _without_other_networks(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later settings that this network does not take: they would change the keys of older warm-ups."""
        absent = {"pretrained", "output_stride"} - NETWORKS[self.name].takes
        return {key: value for key, value in serialize(self).items() if key not in absent}
