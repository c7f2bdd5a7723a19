"""The device that networks run on: CPU or CUDA GPU."""

import os

import torch


class DeviceUnavailableError(RuntimeError):
    """The device of the configuration is not on this machine."""


def choose_device(requested: str) -> torch.device:
    """Resolves a device name: "auto", "cpu" or "cuda".

    Raises DeviceUnavailableError for another name, and for CUDA without a usable GPU.
    """
    if requested not in ("auto", "cpu", "cuda"):
        raise DeviceUnavailableError(f"device {requested!r} is not one of auto, cpu, cuda")
    usable = torch.cuda.is_available()
    if requested == "cuda" and not usable:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        environment = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
        raise DeviceUnavailableError(f"device cuda: torch {torch.__version__} finds no usable GPU{environment}")
    return torch.device("cuda" if usable and requested != "cpu" else "cpu")
