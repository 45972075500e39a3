"""A network that a function of the user makes: `model.factory` and `model.options`."""

from collections.abc import Callable, Mapping
from contextlib import chdir
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ripu_ray.config import ModelConfig
from ripu_ray.config.plugins import find_module
from ripu_ray.errors import ConfigError, blamed
from ripu_ray.models.wrapped import Wrapped, colours

_OUTPUTS = ("out", "logits")
"""Keys of the logits in a mapping: torchvision's and transformers'."""


class FromFactory(Wrapped):
    """A user's module (B, 3, h, w) -> (B, C, h', w'), or a mapping that has it as `out` or `logits`."""

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """The module's logits, of any size of the images' aspect."""
        output = self.model(images_B3HW)
        if isinstance(output, Mapping):
            output = next((output[key] for key in _OUTPUTS if key in output), output)
        if not isinstance(output, Tensor):
            keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
            found = f"{type(output).__name__}{keys}"
            raise TypeError(f"returned {found}, expected a tensor, or a mapping with out or logits")
        return output


def from_factory(settings: ModelConfig, num_classes: int) -> FromFactory:
    """Call the factory.

    Args:
        settings: `factory` and `options`.
        num_classes: at least 1.

    Returns:
        A network around the module, with its `head`, `mean` and `std`, if it has them.

    Raises:
        ConfigError: one line: the function is not found or fails, or does not return a usable module.
    """
    assert settings.factory
    place = f"model.factory {settings.factory}"
    with blamed(place), chdir("."):  # it may change the working directory, which the run folder may be relative to
        # A copy, so that the function cannot change the configuration.
        module = load_factory(settings.factory)(num_classes=num_classes, **deepcopy(settings.options))
    if not isinstance(module, nn.Module):
        raise ConfigError(f"{place}: returned {type(module).__name__}, expected a torch.nn.Module")
    lazy = UninitializedBuffer, UninitializedParameter
    if any(isinstance(tensor, lazy) for tensor in (*module.parameters(), *module.buffers())):
        raise ConfigError(f"{place}: the module has lazy parameters, expected weights")
    head = getattr(module, "head", None)
    network = FromFactory(module, head if isinstance(head, nn.Module) else nn.ModuleList())
    for key in ("mean", "std"):
        if (values := getattr(module, key, None)) is not None:
            setattr(network, key, colours(values, key, place))
    return network.train()


def load_factory(reference: str) -> Callable[..., Any]:
    """The function that `package.module:function` names, of a plug-in or an installed package.

    Raises:
        ConfigError: there is no such module or function.
    """
    name, _, path = reference.partition(":")
    try:
        part: Any = find_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            places = "neither beside the configuration file or in the working directory, nor installed"
            raise ConfigError(f"model.factory {reference}: there is no module {error.name}, {places}") from None
        raise
    for attribute in path.split("."):
        if not hasattr(part, attribute):
            raise ConfigError(f"model.factory {reference}: the module {name} has no {path}")
        part = getattr(part, attribute)
    if not callable(part):
        raise ConfigError(f"model.factory {reference}: expected a function, found {type(part).__name__}")
    function: Callable[..., Any] = part
    return function
