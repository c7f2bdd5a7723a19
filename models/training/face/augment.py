"""Augmentation of face crops: pose, light, blur, compression and occlusion.

Crops become such as the live pipeline cuts.

The spread of scale (standard deviation 0.13) and place (0.045 of the side) is that of CenterFace's boxes against
FER's own framing, measured on FER+ valid; the rest widens FER's conditions to a webcam's: tilt, light, motion blur,
JPEG, and something in front of the face (DeVries and Taylor, 2017).
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_SCALE_SD = 0.13
_SHIFT_SD = 0.045  # of the crop's side
_TILT_SD_RAD = math.radians(8)
_BLUR_SHARE = 0.25
_JPEG_SHARE = 0.15
_JPEG_QUALITY = (30, 90)
_CUTOUT_SHARE = 0.4
_CUTOUT_SIDE = (0.15, 0.4)  # of the crop's side


def augment_faces(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Augments a batch of crops.

    crops: (batch, 48, 48) uint8 or float32 in 0..255 -> float32 of the same shape and range.
    """
    pictures = crops.to(torch.float32).unsqueeze(1)
    pictures = _moved(pictures, generator)
    pictures = _blurred(pictures, generator)
    pictures = _lit(pictures, generator)
    pictures = _compressed(pictures, generator)
    return _covered(pictures, generator).squeeze(1)


def _moved(pictures: Tensor, generator: torch.Generator) -> Tensor:
    n = len(pictures)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    zoom = torch.exp(_SCALE_SD * torch.randn(n, generator=generator).clamp(-2.5, 2.5))
    tilt = _TILT_SD_RAD * torch.randn(n, generator=generator).clamp(-2.5, 2.5)
    shift = 2 * _SHIFT_SD * torch.randn(n, 2, generator=generator).clamp(-2.5, 2.5)  # the grid's side is 2
    cosine, sine = zoom * torch.cos(tilt), zoom * torch.sin(tilt)
    theta = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, shift[:, 0]], dim=1),
            torch.stack([sine * mirror, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _blurred(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """One Gaussian per batch, on a random share of it."""
    sigma = 0.5 + float(torch.rand(1, generator=generator))
    kernel = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(pictures, (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    chosen = torch.rand(len(pictures), 1, 1, 1, generator=generator) < _BLUR_SHARE
    return torch.where(chosen, blurred, pictures)


def _lit(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, then a light that falls off across the picture."""
    n, side = len(pictures), pictures.shape[-1]
    gamma = torch.exp(0.3 * torch.randn(n, 1, 1, 1, generator=generator).clamp(-2, 2))
    slope = 0.25 * torch.randn(n, 2, 1, 1, 1, generator=generator).clamp(-2, 2)
    axis = torch.linspace(-1, 1, side)
    light = 1 + slope[:, 0] * axis.view(1, 1, side) + slope[:, 1] * axis.view(1, side, 1)
    return (255 * (pictures / 255).clamp(0, 1) ** gamma * light).clamp(0, 255)


def _compressed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A random share of the batch through JPEG."""
    chosen = torch.nonzero(torch.rand(len(pictures), generator=generator) < _JPEG_SHARE).flatten().tolist()
    qualities = torch.randint(*_JPEG_QUALITY, (len(chosen),), generator=generator).tolist()
    for row, quality in zip(chosen, qualities, strict=True):
        grey = pictures[row, 0].round().to(torch.uint8).numpy()
        _, file = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pictures[row, 0] = torch.from_numpy(np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.float32))
    return pictures


def _covered(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A grey rectangle over a random share of the batch."""
    n, side = len(pictures), pictures.shape[-1]
    low, high = _CUTOUT_SIDE
    size = side * (low + (high - low) * torch.rand(n, 2, generator=generator))
    centre = side * torch.rand(n, 2, generator=generator)
    axis = torch.arange(side).view(1, side)
    rows = (axis - centre[:, :1]).abs() < size[:, :1] / 2
    columns = (axis - centre[:, 1:]).abs() < size[:, 1:] / 2
    chosen = torch.rand(n, 1, 1, generator=generator) < _CUTOUT_SHARE
    grey = 255 * torch.rand(n, 1, 1, 1, generator=generator)
    return torch.where((rows[:, :, None] & columns[:, None, :] & chosen).unsqueeze(1), grey, pictures)


def mix_faces(crops: Tensor, votes: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixup of crops and their votes (Zhang et al., 2018).

    Each crop is blended with another of the batch.

    crops: (batch, 48, 48) float32. votes: (batch, 8). alpha: of the beta distribution that shares are drawn from,
    above 0. Returns both in the same shapes.
    """
    n = len(crops)
    # Torch draws no beta variable from a generator of one's own.
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    share = torch.from_numpy(rng.beta(alpha, alpha, n).astype(np.float32))
    other = torch.randperm(n, generator=generator)
    return (
        crops.lerp(crops[other], (1 - share)[:, None, None]),
        votes.lerp(votes[other], (1 - share)[:, None]),
    )
