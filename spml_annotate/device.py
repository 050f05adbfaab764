"""Where and how numbers are crunched: device, precision, threads. Imports torch inside the functions only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spml_annotate.errors import SettingError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` takes the first CUDA device, then Apple's, then the CPU; anything else is a torch device name.

    Raises:
        SettingError: for a device that this machine lacks.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingError(f"--device {name!r} is not a device; use auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise SettingError(f"--device {name!r}: this machine has no such GPU; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingError("--device mps: not available here; use --device cpu")
    return device


def set_threads(count: int | None) -> None:
    """Limit the CPU threads of torch and faiss; None leaves them as they are."""
    if count is None:
        return
    if count < 1:
        raise SettingError(f"--threads {count}: at least one thread is needed")
    import faiss
    import torch

    torch.set_num_threads(count)
    faiss.omp_set_num_threads(count)
