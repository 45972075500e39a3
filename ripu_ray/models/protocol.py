"""What a network must offer to be trained, scored and evaluated."""

from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1]."""


class Network(nn.Module):
    """A base class and not a `typing.Protocol`, because a network must be a torch module as well.

    `forward` maps (B, 3, h, w) float images, made by `to_input`, to (B, C, h', w') float logits of any size with the
    aspect of the images. The caller upsamples them (bilinear, align_corners=True).

    Attributes:
        head: the part that classifies; its last tensor has one value for each class.
        mean, std: of red, green and blue in [0, 1]; `to_input` normalises images with them.
        plain_prefix: beginning of names in the state dict that the names of settings and exported files leave out.
        may_idle: whether a forward pass may leave some parameters unused; data-parallel training then looks for these.
    """

    head: nn.Module
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    plain_prefix: ClassVar[str] = ""
    may_idle: ClassVar[bool] = False

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What is trained of the backbone and of the head, each in the order of `parameters()`.

        The head's learning rate is multiplied by `training.head_rate_factor`.
        """
        head = {id(parameter) for parameter in self.head.parameters()}
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [p for p in trained if id(p) not in head], [p for p in trained if id(p) in head]

    def last_layer(self) -> nn.Module:
        """The layer that maps the decoder's features to logits. Optional: only some strategies need it."""
        raise NotImplementedError("the network has no last_layer")

    def with_features(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as `forward`, and the input of `last_layer`: (B, D, h', w') float features of the decoder."""
        seen: list[Tensor] = []
        hook = self.last_layer().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits: Tensor = self(images_B3HW)
        finally:
            hook.remove()
        if not seen:
            raise ValueError("last_layer: takes no part in `forward`")
        return logits, seen[0]

    def dropout_logits(self, images_B3HW: Tensor, num_draws: int, seed: int) -> Tensor:
        """Logits (num_draws, B, C, h', w') with dropout, the other layers in evaluation mode.

        The global random state and the mode of the layers are as before.
        """
        layers = [module for module in self.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
        cuda = [images_B3HW.device] if images_B3HW.is_cuda else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            for layer in layers:
                layer.train()
            draws = [self(images_B3HW) for _ in range(num_draws)]
            for layer in layers:
                layer.eval()
        return torch.stack(draws)

    def to_input(self, images_HW3: NDArray[np.uint8] | Tensor, device: str | torch.device = "cpu") -> Tensor:
        """Images as the network takes them.

        Args:
            images_HW3: (..., H, W, 3) uint8, RGB. A tensor in pinned memory is copied asynchronously.
            device: where the images are copied to. They are copied as bytes.

        Returns:
            (..., 3, H, W) float32, contiguous, about -2..2: `mean` subtracted, divided by `std`.
        """
        # `torch.tensor` copies: an array may be read-only.
        images_HW3 = images_HW3 if isinstance(images_HW3, Tensor) else torch.tensor(images_HW3)
        scaled_HW3 = images_HW3.to(device, non_blocking=True).float() / 255
        mean_3, std_3 = (_on_device(tuple(values), scaled_HW3.device) for values in (self.mean, self.std))
        return ((scaled_HW3 - mean_3) / std_3).movedim(-1, -3).contiguous()


@lru_cache(maxsize=32)
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A float32 tensor that is copied to a GPU once: a CUDA graph cannot hold a copy from ordinary memory."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)
