"""From a scene's geometry to a picture: materials, light, air and camera."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ripu_ray.data.synthetic.scenes import GROUND, Scene

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """Appearance of a domain's pictures. Colours 0..255; lengths in pixels of a picture 96 pixels high.

    Attributes:
        palettes: material -> the colours it can have.
        variety: standard deviation of a thing's colour around its palette's.
        texture: standard deviation of the texture on surfaces.
        cast: standard deviation of the picture's colour balance, relative.
        exposure: standard deviation of the picture's brightness, relative.
        light_slope: strength of a light gradient across the picture, relative.
        shadows: number of cast shadows, the mean of a Poisson number.
        haze: share of the haze's colour at the horizon.
        vignette: loss of light in the corners, relative.
        blur: standard deviation of the lens's blur.
        noise: standard deviation of the sensor's noise.
    """

    palettes: Mapping[str, tuple[Colour, ...]]
    variety: float
    texture: float
    cast: float
    exposure: float
    light_slope: float
    shadows: float
    haze: float
    vignette: float
    blur: float
    noise: float


def render(rng: np.random.Generator, scene: Scene, look: Look) -> NDArray[np.uint8]:
    """Draw a scene.

    Args:
        rng: all of the picture's randomness beside the scene's.
        scene: the geometry.
        look: the domain's materials, light, air and camera.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    height, width = scene.instances.shape
    surface_HW3 = _surface_colours(rng, scene, look)[scene.instances]
    grain_HW = (
        _cloud(rng, height, width, 24) + 0.8 * _cloud(rng, height, width, 6) + 0.6 * _cloud(rng, height, width, 2)
    )
    y_H1 = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x_1W = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle = rng.uniform(0, 2 * math.pi)
    light_HW = 1 + look.light_slope * (math.cos(angle) * x_1W + math.sin(angle) * y_H1)
    light_HW = light_HW * (1 - look.vignette * (x_1W**2 + y_H1**2) / 2)
    light_HW *= _shadows(rng, scene, look)
    picture_HW3 = (surface_HW3 + look.texture * grain_HW[:, :, None]) * light_HW[:, :, None]

    nearness = np.array([thing.nearness for thing in scene.things], dtype=np.float32)
    near_HW = nearness[scene.instances]
    rows_H1 = (np.arange(height, dtype=np.float32)[:, None] - scene.horizon) / max(1.0, height - scene.horizon)
    near_HW = np.where(near_HW == GROUND, np.maximum(rows_H1, 0), near_HW)
    air_HW = look.haze * rng.uniform(0.3, 1.0) * np.exp(-near_HW / 0.25)
    haze_3 = np.array((205, 208, 212), dtype=np.float32) + rng.normal(0, 10, 3)
    picture_HW3 += air_HW[:, :, None] * (haze_3.astype(np.float32) - picture_HW3)

    balance_3 = (1 + rng.normal(0, look.exposure)) * (1 + rng.normal(0, look.cast, 3))
    picture_HW3 *= np.clip(balance_3, 0.4, 1.8).astype(np.float32)
    blurred = Image.fromarray(np.clip(picture_HW3, 0, 255).astype(np.uint8))
    radius = look.blur * rng.uniform(0.6, 1.4) * height / 96
    pixels = np.asarray(blurred.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    noise_HW3 = rng.standard_normal(pixels.shape, dtype=np.float32)
    noisy: NDArray[np.uint8] = np.clip(pixels + look.noise * noise_HW3, 0, 255).astype(np.uint8)
    return noisy


def _surface_colours(rng: np.random.Generator, scene: Scene, look: Look) -> NDArray[np.float32]:
    """(things, 3) colours before light and air; the surfaces of one owner and material agree."""
    chosen: dict[tuple[int, str], NDArray[np.float32]] = {}
    for thing in scene.things:
        key = thing.owner, thing.material
        if key not in chosen:
            palette = look.palettes[thing.material]
            base = np.array(palette[int(rng.integers(len(palette)))], dtype=np.float32)
            # Brightness varies more than hue.
            change = rng.normal(0, look.variety) + rng.normal(0, look.variety / 3, 3)
            chosen[key] = base + change.astype(np.float32)
    return np.stack([chosen[thing.owner, thing.material] for thing in scene.things])


def _shadows(rng: np.random.Generator, scene: Scene, look: Look) -> NDArray[np.float32]:
    """(H, W) factor of light: slanted bands of shadow on everything under the horizon."""
    height, width = scene.instances.shape
    light_HW = np.ones((height, width), dtype=np.float32)
    y_H1 = np.arange(height, dtype=np.float32)[:, None]
    x_1W = np.arange(width, dtype=np.float32)[None, :]
    for _ in range(rng.poisson(look.shadows)):
        along_HW = x_1W + rng.uniform(-3, 3) * (y_H1 - height)
        start = rng.uniform(-0.5, 1.0) * width
        band_HW = (along_HW > start) & (along_HW < start + rng.uniform(0.15, 0.6) * width) & (y_H1 > scene.horizon)
        light_HW[band_HW] *= rng.uniform(0.5, 0.8)
    return light_HW


def _cloud(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float32]:
    """(H, W) smooth noise, mean 0, spots about `cell` pixels large."""
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)
