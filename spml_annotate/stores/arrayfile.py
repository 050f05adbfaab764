"""How a large table lies on disk, and how to tell a whole one of ours from anything else.

A committed file is an ordinary ``.npy`` file (``numpy.load(path, mmap_mode="r")`` reads it) with a note after the
data: what the table was made from, its length and a checksum. A file that was cut off, or that is not ours, has no such
note at its end. Until then the data grows in ``NAME.partial`` beside it, and ``NAME.progress`` says how far it is.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spml_annotate.errors import DataError, MismatchError

Fingerprint = Mapping[str, str]

REMEDY = "run `spml-annotate embed` again"
START = 128  # bytes before the data: numpy's header for a table, whatever its size
PIECE = 1 << 24  # bytes read at once when a whole table is gone through
_MAGIC = b"SPMLNOTE"
_TAIL = len(_MAGIC) + 8  # the note ends with its own length and the magic word


@dataclass(frozen=True)
class ArrayInfo:
    """What a table's note says: shape (rows, columns), dtype, what it was made from, CRC-32 of its data."""

    shape: tuple[int, int]
    dtype: str
    fingerprint: dict[str, str]
    checksum: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * np.dtype(self.dtype).itemsize

    @property
    def data_bytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.row_bytes


def read_info(path: str | Path) -> ArrayInfo:
    """What a committed table says of itself.

    Raises:
        DataError: if there is none, or it is cut off or not ours.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            return _read_note(path, file, size)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; {REMEDY}") from error


def verify_array(path: str | Path) -> None:
    """Read a committed table through and compare its checksum.

    Raises:
        DataError: if it has changed since it was written.
    """
    path = Path(path)
    info = read_info(path)
    checksum = 0
    with path.open("rb") as file:
        file.seek(START)
        for start in range(0, info.data_bytes, PIECE):
            checksum = zlib.crc32(file.read(min(PIECE, info.data_bytes - start)), checksum)
    if checksum != info.checksum:
        raise DataError(f"{path} has changed since it was written; delete it and {REMEDY}")


def read_progress(path: str | Path) -> tuple[int, ArrayInfo]:
    """(rows done, description) of an unfinished table.

    Raises:
        DataError: if there is none.
    """
    path = Path(path)
    if not (partial_path(path).is_file() and progress_path(path).is_file()):
        raise DataError(f"there is no unfinished {path.name} in {path.parent}; {REMEDY}")
    try:
        state = json.loads(progress_path(path).read_text(encoding="utf-8"))
        done, info = int(state.pop("done")), _info(state)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{progress_path(path)} is damaged; delete it and {REMEDY}") from error
    return done, info


def partial_path(path: Path) -> Path:
    """Where the data of an unfinished table grows."""
    return path.with_name(path.name + ".partial")


def progress_path(path: Path) -> Path:
    """Where it is noted how far an unfinished table is."""
    return path.with_name(path.name + ".progress")


def header(info: ArrayInfo) -> bytes:
    """The first bytes of a ``.npy`` file, version 1.0, padded to a fixed size so that the data can be written first."""
    text = f"{{'descr': {info.dtype!r}, 'fortran_order': False, 'shape': {info.shape}, }}".encode()
    size = START - 10
    assert len(text) < size, "the description has outgrown its place"
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + text.ljust(size - 1) + b"\n"


def trailer(info: ArrayInfo) -> bytes:
    """The note at the end of a committed table."""
    note = json.dumps(asdict(info), sort_keys=True).encode()
    return note + len(note).to_bytes(8, "little") + _MAGIC


def _read_note(path: Path, file: BinaryIO, size: int) -> ArrayInfo:
    foreign = DataError(f"{path} is cut off or no table of this program; delete it and {REMEDY}")
    if size < START + _TAIL:
        raise foreign
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:8], "little")
    if tail[8:] != _MAGIC or length > size - START - _TAIL:
        raise foreign
    file.seek(size - _TAIL - length)
    try:
        info = _info(json.loads(file.read(length)))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise foreign from None
    if size != START + info.data_bytes + length + _TAIL:
        raise foreign
    return info


def _info(state: dict[str, Any]) -> ArrayInfo:
    rows, columns = state["shape"]
    fingerprint = {str(key): str(value) for key, value in state["fingerprint"].items()}
    return ArrayInfo((int(rows), int(columns)), np.dtype(state["dtype"]).str, fingerprint, int(state["checksum"]))


def check_fingerprint(path: Path, info: ArrayInfo, wanted: Fingerprint) -> None:
    """Raise MismatchError unless a table was made from what is wanted."""
    for key in sorted({*info.fingerprint, *wanted}):
        if info.fingerprint.get(key) != wanted.get(key):
            raise MismatchError(
                f"{path} was made from other {key} ({info.fingerprint.get(key)}) than asked for ({wanted.get(key)}); "
                f"{REMEDY}"
            )
