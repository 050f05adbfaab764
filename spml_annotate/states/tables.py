"""Tables [H, n, L] of a state: in memory or in a memory-mapped temporary file, and their way to disk and back."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.labels import CODES
from spml_annotate.stores.atomic import write_atomically

_NUMPY = {
    torch.bool: np.bool_,
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
}
_SAFETENSORS = {torch.bool: "BOOL", torch.float16: "F16", torch.float32: "F32", torch.float64: "F64"}

# Rows are handled in blocks of about this many cells, so that no work needs memory in proportion to the images.
BLOCK_CELLS = 1 << 19


def check_labels(labels: Tensor) -> Tensor:
    """The labels, if they are int8 codes [H, n, L].

    Raises:
        MismatchError: for another shape or type. DataError: for a value that is not a code.
    """
    if labels.ndim != 3 or labels.dtype != torch.int8:
        raise MismatchError(f"a state needs labels int8 [heads, images, classes], not {labels.dtype} {labels.shape}")
    if labels.numel() and (labels.amin().item() < min(CODES) or labels.amax().item() > max(CODES)):
        raise DataError("a state's labels hold a value that is not a code: 1 positive, 0 negative, -1 unknown")
    return labels


def allocate(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, memory_limit: float) -> Tensor:
    """Zeros of this shape: on the device, or in a temporary file if they would take more than ``memory_limit`` bytes.

    The file has no name and is gone with the tensor. It lies in the folder for temporary files (``TMPDIR``).
    """
    if math.prod(shape) * dtype.itemsize <= memory_limit:
        return torch.zeros(shape, dtype=dtype, device=device)
    with tempfile.TemporaryFile() as file:  # the mapping keeps it open
        return torch.from_numpy(np.memmap(file, dtype=_NUMPY[dtype], mode="w+", shape=shape))


def row_blocks(shape: tuple[int, ...]) -> list[slice]:
    """Slices that cover the rows of a table [H, n, L] in blocks of about `BLOCK_CELLS` cells."""
    heads, rows, classes = shape
    step = max(BLOCK_CELLS // max(heads * classes, 1), 1)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def gather(table: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """Rows of a table [H, n, L], a copy [H, B, L] on the device."""
    return table.index_select(1, rows.to(table.device)).to(device)


def scatter(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """Replace rows of a table [H, n, L] by values [H, B, L]."""
    table.index_copy_(1, rows.to(table.device), values.to(device=table.device, dtype=table.dtype))


def per_head(value: float | Tensor, heads: int, device: torch.device, what: str) -> Tensor:
    """A setting as a tensor [H or 1, 1, 1] in double precision.

    Raises:
        SettingError: for a tensor that does not hold one value per head.
    """
    setting = torch.as_tensor(value, dtype=torch.float64, device=device).reshape(-1, 1, 1)
    if setting.shape[0] not in (1, heads):
        raise SettingError(f"{what}: {setting.shape[0]} values for {heads} heads; give one, or one per head")
    return setting


class EpochCounter:
    """The present epoch, counted from 0, in a form that is saved and loaded with the tables of a state."""

    def __init__(self) -> None:
        self.table = torch.zeros((1, 1, 1), dtype=torch.float64)

    @property
    def number(self) -> int:
        """Epochs that have ended."""
        return int(self.table.item())

    def ended(self, epoch: int) -> None:
        """The epoch ``epoch``, counted from 0, is over."""
        self.table.fill_(epoch + 1)


def save_tables(path: str | Path, state: str, tables: Mapping[str, Tensor]) -> None:
    """Write tables to a safetensors file, atomically and block by block, so that mapped ones never fill the memory."""
    entries: dict[str, object] = {"__metadata__": {"state": state}}
    offset = 0
    for name, table in tables.items():
        end = offset + table.numel() * table.element_size()
        entries[name] = {
            "dtype": _SAFETENSORS[table.dtype],
            "shape": list(table.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)  # the format aligns its data to 8 bytes

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for table in tables.values():
            for head in table.detach():
                for block in head.split(max(BLOCK_CELLS // max(head.shape[-1], 1), 1)):
                    file.write(block.cpu().numpy().tobytes())

    write_atomically(path, write)


def load_tables(path: str | Path, state: str, tables: Mapping[str, Tensor]) -> None:
    """Fill the tables in place from a file of `save_tables`.

    Raises:
        DataError: for a file that cannot be read. MismatchError: for another state, other shapes or types.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            kept = (file.metadata() or {}).get("state")
            if kept != state:
                raise MismatchError(f"{path} holds the state {kept!r}, not {state!r}; train again")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            for name, table in tables.items():
                found = slices.get(name)
                wanted = (list(table.shape), _SAFETENSORS[table.dtype])
                if found is None or (found.get_shape(), found.get_dtype()) != wanted:
                    shape = "nothing" if found is None else f"{found.get_dtype()} {found.get_shape()}"
                    raise MismatchError(
                        f"{path}: {name} holds {shape}, this state has {wanted[1]} {wanted[0]} "
                        "(heads, images, classes); train again on the present images and classes"
                    )
            with torch.no_grad():
                for name, table in tables.items():
                    for block in row_blocks(tuple(table.shape)):
                        table[:, block].copy_(slices[name][:, block])
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read the state {path}: {error}; train again") from error
