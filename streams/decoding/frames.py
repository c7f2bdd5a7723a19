"""Converts decoded video frames to pixels as shown.

A picture is upright, undistorted, and of one moment. Applied are the display matrix (phones turn the picture instead of
the pixels), the shape of pixels, the range and matrix of colours (by FFmpeg), fields of two moments (of which the first
is taken), and the transfer curves of HDR, whose reference white becomes white. A frame does not carry the shape of its
pixels: `with_pixel_shape` notes it. Left out: display matrices that turn by other than quarter turns (the nearest is
taken), wide colour primaries, which hardly change a grey face, and cropping.
"""

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorTrc
from numpy.typing import NDArray

_MOST_STRETCHED = 4  # no camera has pixels four times as wide as high: such a ratio is a fault
_WHITE_NITS = 203  # ITU-R BT.2408: reference white of HDR


def with_pixel_shape(frame: av.VideoFrame, ratio: Fraction | None) -> av.VideoFrame:
    """Notes on a frame how wide its pixels are for their height."""
    if ratio and ratio != 1 and 1 / _MOST_STRETCHED <= ratio <= _MOST_STRETCHED:
        frame.opaque = ratio
    return frame


def to_pixels(frame: av.VideoFrame, max_side_px: int | None = None) -> NDArray[np.uint8]:
    """Converts a frame to (height, width, 3) BGR, as it is shown.

    max_side_px: most pixels on the longest side.
    """
    ratio = frame.opaque if isinstance(frame.opaque, Fraction) else Fraction(1)
    shown_width = frame.width * ratio
    scale = (
        Fraction(1) if max_side_px is None else min(Fraction(1), max_side_px / max(shown_width, Fraction(frame.height)))
    )
    width, height = max(1, round(shown_width * scale)), max(1, round(frame.height * scale))
    if frame.interlaced_frame and frame.height > 1:
        both = frame.to_ndarray(format="bgr24", width=width, height=frame.height)
        pixels = np.asarray(cv2.resize(both[::2], (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    else:
        pixels = np.asarray(frame.to_ndarray(format="bgr24", width=width, height=height), np.uint8)
    curve = _TO_SDR.get(int(frame.color_trc))
    return _turned(pixels if curve is None else np.asarray(cv2.LUT(pixels, curve), np.uint8), frame)


def _turned(pixels: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Rotates and mirrors by the frame's display matrix (a, b; c, d).

    A pixel at (x, y) goes to (ax+cy, bx+dy).
    """
    side_data: Any = frame.side_data  # PyAV's annotation names another key than it takes
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), "=i4")[:5].tolist()
    shown: Any = pixels
    if abs(b) + abs(c) > abs(a) + abs(d):
        shown, a, d = shown.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(shown[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084: what a display emits for a signal of 0..1."""
    root = signal ** (32 / 2523)
    nits: NDArray[np.float64] = 10_000 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (
        8192 / 1305
    )
    return nits


def _hlg_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Luminance of ITU-R BT.2100 hybrid log-gamma.

    Its reference white, a signal of 0.75, is `_WHITE_NITS`.
    """
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return _WHITE_NITS * (scene / 0.2646) ** 1.2


def _to_sdr(nits: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(255 * np.clip(nits / _WHITE_NITS, 0, 1) ** (1 / 2.4)).astype(np.uint8)


_SIGNAL = np.arange(256) / 255
_TO_SDR = {int(ColorTrc.SMPTE2084): _to_sdr(_pq_nits(_SIGNAL)), int(ColorTrc.ARIB_STD_B67): _to_sdr(_hlg_nits(_SIGNAL))}
