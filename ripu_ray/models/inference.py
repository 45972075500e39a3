"""The class of every pixel, as evaluation counts it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ripu_ray.errors import NonFiniteError, naming_code


@naming_code()
@torch.inference_mode()
def predict(network: nn.Module, image_13HW: Tensor, size: tuple[int, ...], flip: bool = False) -> NDArray[np.int64]:
    """The class of each pixel.

    Args:
        network: in evaluation mode.
        image_13HW: (1, 3, h, w) float, from `network.to_input`.
        size: (H, W) of the prediction; the logits are brought there bilinearly with aligned corners.
        flip: use the mean of two softmax outputs: of the image, and of its mirror image, mirrored back.

    Returns:
        (H, W) integer class ids.

    Raises:
        NonFiniteError: a logit is NaN or infinite.
        CodeError: the network is one of a plug-in or of the program, and fails.
    """

    def upsampled(image_13HW: Tensor) -> Tensor:
        logits: Tensor = network(image_13HW)
        if not torch.isfinite(logits).all():
            raise NonFiniteError("a NaN or an infinity among the logits")
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)[0]

    scores_CHW = upsampled(image_13HW)
    if flip:
        mirrored_CHW = upsampled(image_13HW.flip(3)).flip(2)
        scores_CHW = scores_CHW.softmax(dim=0) + mirrored_CHW.softmax(dim=0)
    predicted_HW: NDArray[np.int64] = scores_CHW.argmax(dim=0).cpu().numpy()
    return predicted_HW
