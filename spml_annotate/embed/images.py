"""Pictures to features: in batches, on any device, past unreadable files, resumable."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spml_annotate.embed.backbones import Backbone
from spml_annotate.embed.pictures import Pictures
from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import Rows
from spml_annotate.progress import progress

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Fault = tuple[int, str]
"""A row and why its picture could not be used."""


class Block(NamedTuple):
    """Features float32 [R, D] of ``rows`` int64 [R]; a row in ``faults`` is all zeros."""

    rows: Rows
    features: NDArray[np.float32]
    faults: tuple[Fault, ...]


class FeatureWriter(Protocol):
    """Where features go, block by block from row 0 on; ``done`` rows are safe already."""

    @property
    def done(self) -> int:
        """How many rows have been written."""

    def write(self, start_row: int, block: NDArray[np.float32]) -> None:
        """Write the features [R, D] of rows start_row, start_row + 1, ..."""

    def commit(self) -> None:
        """All rows are there: make them the stored features."""


def extract(
    backbone: Backbone,
    pictures: Pictures,
    rows: Rows | Sequence[int] | None = None,
    *,
    batch_size: int = 64,
    precision: Precision = "auto",
) -> Iterator[Block]:
    """Features of the rows asked for (all by default), in their order, ``batch_size`` at a time.

    A picture that cannot be read, or whose features are not finite, becomes a zero row and a fault.

    Args:
        backbone: where the features come from; its device is used.
        pictures: N pictures.
        rows: int64 [R], any rows in any order.
        batch_size: pictures per forward pass.
        precision: ``auto`` is float16 where a GPU multiplies, float32 elsewhere. Features are float32 in any case.

    Raises:
        SettingError: for a batch size below 1 or a precision that the device lacks.
    """
    if batch_size < 1:
        raise SettingError(f"--batch-size {batch_size}: at least one picture per batch is needed")
    dtype = _dtype(precision, backbone.device)
    wanted = np.arange(len(pictures)) if rows is None else np.asarray(rows, dtype=np.int64)
    batches = [wanted[start : start + batch_size] for start in range(0, len(wanted), batch_size)]
    return _blocks(backbone, pictures, batches, dtype)


def _dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """What the products are made in; None is plain float32."""
    choices = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else None
    if precision not in choices:
        raise SettingError(f"--precision {precision!r}: choose from auto, {', '.join(choices)}")
    if precision == "float16" and device.type == "cpu":
        raise SettingError("--precision float16: the CPU has none worth using; use float32 or bfloat16")
    return choices[precision]


def _blocks(backbone: Backbone, pictures: Pictures, batches: list[Rows], dtype: torch.dtype | None) -> Iterator[Block]:
    def prepare(row: int) -> Tensor | str:
        try:
            return backbone.preprocess(pictures.read(row))
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        ahead: list[Future[Tensor | str]] = []
        for number, batch in enumerate(batches):
            current = ahead if number else [pool.submit(prepare, int(row)) for row in batch]
            following = batches[number + 1] if number + 1 < len(batches) else ()
            ahead = [pool.submit(prepare, int(row)) for row in following]  # decoded while the network works
            yield _block(backbone, batch, [future.result() for future in current], dtype)


def _block(backbone: Backbone, rows: Rows, ready: list[Tensor | str], dtype: torch.dtype | None) -> Block:
    features = np.zeros((len(rows), backbone.features_dim), dtype=np.float32)
    faults = [(int(row), item) for row, item in zip(rows, ready, strict=True) if isinstance(item, str)]
    good = [place for place, item in enumerate(ready) if not isinstance(item, str)]
    if good:
        batch = torch.stack([item for item in ready if not isinstance(item, str)]).to(backbone.device)
        values = _forward(backbone, batch, dtype)
        if dtype is not None and not np.isfinite(values).all():
            values = _forward(backbone, batch, None)  # half precision ran out of range
        finite = np.asarray(np.isfinite(values).all(1))
        faults += [(int(rows[good[i]]), "the features are not finite numbers") for i in np.flatnonzero(~finite)]
        features[good] = np.where(finite[:, None], values, 0.0)
    return Block(rows, features, tuple(sorted(faults)))


def _forward(backbone: Backbone, batch: Tensor, dtype: torch.dtype | None) -> NDArray[np.float32]:
    mixed = nullcontext() if dtype is None else torch.autocast(backbone.device.type, dtype)
    with torch.inference_mode(), mixed:
        output = backbone.network(batch)
    values: NDArray[np.float32] = output.float().flatten(1).cpu().numpy()
    return values


def embed_pictures(
    pictures: Pictures,
    backbone: Backbone,
    writer: FeatureWriter,
    *,
    batch_size: int = 64,
    precision: Precision = "auto",
    flag: Callable[[int, str], None] | None = None,
) -> list[Fault]:
    """Embed all pictures that the writer does not have yet, and commit.

    Args:
        pictures: N pictures.
        backbone: see `extract`; ``batch_size`` and ``precision`` likewise.
        writer: asked where to go on, so that an interruption costs at most one batch.
        batch_size: see `extract`.
        precision: see `extract`.
        flag: told of each fault before its batch is written, so that none is lost by an interruption; it may be told
            of the same one again.

    Returns:
        The faults of this run.
    """
    rows = np.arange(writer.done, len(pictures), dtype=np.int64)
    logger.info("embedding %d pictures with %s on %s", len(rows), backbone.key, backbone.device)
    blocks = extract(backbone, pictures, rows, batch_size=batch_size, precision=precision)
    faults: list[Fault] = []
    for block in progress(blocks, total=-(-len(rows) // batch_size), what="embedding"):
        for row, reason in block.faults:
            faults.append((row, reason))
            if flag is not None:
                flag(row, reason)
        writer.write(int(block.rows[0]), block.features)
    writer.commit()
    return faults
