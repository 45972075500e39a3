"""Networks of the package `transformers`: segmentation models, and backbones with a head of ours.

Code of a checkpoint is never run: architectures are those of the installed package, weights are safetensors. The Hub is
asked only where the configuration has the id of a model.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ripu_ray.config import ModelConfig
from ripu_ray.errors import ConfigError, DataError, blamed, few
from ripu_ray.models.heads import LinearHead, PyramidHead
from ripu_ray.models.protocol import IMAGENET_MEAN, IMAGENET_STD, Network
from ripu_ray.models.wrapped import Wrapped
from ripu_ray.storage.hub import hub_or_cache

_PROCESSOR = "preprocessor_config.json"
_DEEPEST = 32
"""Input pixels for each row of the deepest features of encoders in stages."""
_SQUARE = ("dpt",)
"""Types of models that compute the grid of patches from their number alone."""


class Segmentation(Wrapped):
    """A model of `AutoModelForSemanticSegmentation`; its head is all but the encoder.

    Args:
        model: of the package; its configuration is `model.config`.
    """

    def __init__(self, model: Any) -> None:
        body = getattr(model, model.base_model_prefix or "backbone", None) or getattr(model, "backbone", None)
        super().__init__(model, nn.ModuleList([part for part in model.children() if part is not body]))
        self._multiple, self._is_square = _multiple(model), model.config.model_type in _SQUARE

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits (B, C, H, W) of images (B, 3, H, W), float, from `to_input`."""
        return _fitted(images_B3HW, self._multiple, self._native, self._is_square)

    def _native(self, images_B3HW: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images_B3HW).logits
        return logits


class BackboneNetwork(Network):
    """A model of `AutoBackbone` with a head.

    Args:
        model: of the package; its configuration is `model.config`.
        head: takes the model's features, the finest first, and returns logits.
    """

    may_idle = True

    def __init__(self, model: Any, head: LinearHead | PyramidHead) -> None:
        super().__init__()
        self.model, self.head, self._multiple = model, head, _multiple(model)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits (B, C, H, W) of images (B, 3, H, W), float, from `to_input`."""
        return _fitted(images_B3HW, self._multiple, self._native)

    def _native(self, images_B3HW: Tensor) -> Tensor:
        features = self.model(pixel_values=images_B3HW).feature_maps
        ends = features if isinstance(self.head, LinearHead) else (features[0], features[-1])
        logits: Tensor = self.head(*ends)
        return logits


def segmentation(settings: ModelConfig, num_classes: int) -> Network:
    """Build the network of `model.name: transformers`, with fresh weights.

    Args:
        settings: `checkpoint`; its folder's config.json and preprocessor_config.json are read.
        num_classes: at least 1; replaces that of the checkpoint.

    Raises:
        ConfigError, DataError: one line: the package is not installed, or the checkpoint is missing, damaged or not a
            segmentation model.
    """
    config = _read_config(settings)
    from transformers import AutoModelForSemanticSegmentation as Auto
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING as KNOWN

    _check_type(config, KNOWN, settings, "a model with logits for each pixel")
    if config.num_labels != num_classes:
        config.num_labels = num_classes
    if hasattr(config, "use_auxiliary_head"):
        config.use_auxiliary_head = False  # its logits are not among the output
    with _reported(settings):
        network = Segmentation(Auto.from_config(config, dtype=torch.float32))
    return _finished(network, settings)


def backbone(settings: ModelConfig, num_classes: int) -> Network:
    """Build the network of `model.name: backbone`, with fresh weights and `settings.head`. See `segmentation`."""
    config = _read_config(settings)
    from transformers import AutoBackbone as Auto
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING as KNOWN

    _check_type(config, KNOWN, settings, "a backbone")
    if hasattr(config, "depths") and len(config.out_features or ()) < 2:
        config.out_features = config.stage_names[1:]
    with _reported(settings):
        model = Auto.from_config(config, dtype=torch.float32)
        channels = tuple(model.channels)
        head = (
            LinearHead(num_classes, channels)
            if settings.head == "linear"
            else PyramidHead(num_classes, (channels[0], channels[-1]), _multiple(model))
        )
        network = BackboneNetwork(model, head)
    return _finished(network, settings)


def load_checkpoint_weights(network: Network, settings: ModelConfig) -> str:
    """Give a network of `segmentation` or `backbone` the weights of its checkpoint; a head that differs stays as it is.

    Args:
        network: changed in place.
        settings: that it was built from.

    Returns:
        One line that says what was read, what was not, and how images are normalised.

    Raises:
        DataError: one line: there are no safetensors, they are damaged, or are not those of this network.
    """
    assert isinstance(network, Segmentation | BackboneNetwork)
    model: Any = network.model
    place = settings.checkpoint
    if isinstance(place, Path) and not any(place.glob("*.safetensors")):
        raise DataError(f"model.checkpoint {place}: has no model.safetensors (pickles, such as *.bin, are not read)")
    with _reported(settings), torch.random.fork_rng(devices=()):
        read, info = type(model).from_pretrained(
            place,
            config=deepcopy(model.config),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=isinstance(place, Path),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    of_head = {id(parameter) for parameter in network.head.parameters()}
    body = [name for name, parameter in model.named_parameters() if id(parameter) not in of_head]
    resized = {name: (tuple(there), tuple(here)) for name, there, here in info["mismatched_keys"]}
    for name in sorted(resized.keys() & set(body)):
        there, here = resized[name]
        raise DataError(f"model.checkpoint {place}: {name} is {there}, expected {here}")
    missing = [name for name in body if name in info["missing_keys"]]
    if 2 * len(missing) > len(body):
        raise DataError(f"model.checkpoint {place}: misses most weights of the encoder, such as {missing[0]}")
    fresh = info["missing_keys"] | resized.keys()
    state = {name: tensor for name, tensor in read.state_dict().items() if name not in fresh}
    if damaged := next((name for name, tensor in state.items() if not torch.isfinite(tensor).all()), None):
        raise DataError(f"model.checkpoint {place}: {damaged} holds a NaN or an infinity")
    model.load_state_dict(state, strict=False)
    return f"{settings.name} starts from {place}: {_describe(len(state), sorted(fresh))}"


def _describe(num_read: int, fresh: list[str]) -> str:
    return f"{num_read} tensors" + (f"; new, since missing there or of another size: {few(fresh)}" if fresh else "")


def _read_config(settings: ModelConfig) -> Any:
    place = settings.checkpoint
    if find_spec("transformers") is None:
        raise ConfigError(f"model.name {settings.name} needs transformers: pip install 'ripu-ray[transformers]'")
    if isinstance(place, Path) and not (place / "config.json").is_file():
        what = "there is no such folder" if not place.exists() else "expected a folder with config.json"
        raise DataError(f"model.checkpoint {place}: {what}")
    with _reported(settings):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(place, local_files_only=isinstance(place, Path), trust_remote_code=False)


def _check_type(config: Any, known: Any, settings: ModelConfig, what: str) -> None:
    if type(config) not in known:
        found = f"model.checkpoint {settings.checkpoint}: {config.model_type} is not {what} of transformers"
        raise DataError(f"{found}: expected {', '.join(sorted({each.model_type for each in known}))}")
    if (channels := getattr(_encoder(config), "num_channels", 3)) != 3:
        raise DataError(f"model.checkpoint {settings.checkpoint}: takes {channels} channels, expected 3")


def _finished(network: Network, settings: ModelConfig) -> Network:
    """The network in training mode, with the normalisation of the image processor's file; without one, ImageNet's."""
    path: Any = None
    if isinstance(settings.checkpoint, Path):
        path = settings.checkpoint / _PROCESSOR
    else:
        with _reported(settings):
            from transformers.utils import cached_file

            path = cached_file(settings.checkpoint, _PROCESSOR, _raise_exceptions_for_missing_entries=False)
    if path and Path(path).is_file():
        with blamed(f"{path}: not an image processor's file"):
            network.mean, network.std = _normalisation(json.loads(Path(path).read_text(encoding="utf-8")))
    return network.train()


def _normalisation(processor: dict[str, Any]) -> tuple[Any, Any]:
    """Mean and standard deviation of colours in [0, 1] from what the processor does to colours in 0..255."""
    scale = float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0
    shift, spread = (0.0,) * 3, (1.0,) * 3
    if processor.get("do_normalize", True):
        shift, spread = processor.get("image_mean", IMAGENET_MEAN), processor.get("image_std", IMAGENET_STD)
    mean, std = (tuple(float(value) / (255 * scale) for value in values) for values in (shift, spread))
    if len(mean) != 3 or len(std) != 3 or not all(0 < value < float("inf") for value in std):
        raise ValueError("expected image_mean and image_std with three numbers each, std above 0")
    return mean, std


def _encoder(config: Any) -> Any:
    return getattr(config, "backbone_config", None) or config


def _multiple(model: nn.Module) -> int:
    """Sides of images must be multiples of it, so that no row of pixels is left out."""
    # The configurations of the package write the patch in several ways and places.
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d) and part.in_channels == 3), None)
    patch = math.lcm(*first.stride) if first else 1
    return patch if patch > 4 else _DEEPEST


def _fitted(images_B3HW: Tensor, multiple: int, run: Callable[[Tensor], Tensor], is_square: bool = False) -> Tensor:
    """Logits at the images' size. Images are padded on the right and below with the mean colour, logits are cut."""
    height, width = images_B3HW.shape[2:]
    rows, cols = (-(-side // multiple) * multiple for side in (height, width))
    if is_square:
        rows = cols = max(rows, cols)
    logits = run(F.pad(images_B3HW, (0, cols - width, 0, rows - height)))
    logits = F.interpolate(logits.float(), size=(rows, cols), mode="bilinear", align_corners=False)
    return logits[:, :, :height, :width]


@contextmanager
def _reported(settings: ModelConfig) -> Iterator[None]:
    """Raise errors of transformers as one line, and silence its tables and bars."""
    is_local = isinstance(settings.checkpoint, Path)
    with nullcontext() if is_local else hub_or_cache(), blamed(f"model.checkpoint {settings.checkpoint}"):
        from transformers.utils import logging

        level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if has_bars:
                logging.enable_progress_bar()
