"""The space in which images are compared: centred, of unit length, searched by inner product.

Everything random here is drawn from the CONTENT of the rows (a keyed hash of their bytes), never from their position:
reordering images or classes gives the same prototypes, bit by bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spml_annotate.labels import Rows
from spml_annotate.propose.evidence import Evidence

Vectors = NDArray[np.float32]

CENTRE_ROWS = 8192
"""At most so many images give the centre, drawn by content."""

QUERIES = 16
"""faiss answers fewer than 20 queries one by one and more by a matrix product, whose rounding depends on the block.

Asking 16 at a time makes each row's result independent of the rows beside it and of the number of threads.
"""

PER_WORKER = 256
"""Queries that a thread takes at a time."""

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Space:
    """Features of the images, centred on ``centre`` [D] and scaled to unit length.

    ``keys`` uint64 [N] are the content hashes that take the place of random numbers.
    """

    evidence: Evidence
    centre: NDArray[np.float64]
    keys: NDArray[np.uint64]

    def vectors(self, rows: Rows) -> Vectors:
        """Unit vectors float32 [R, D] of some rows; a row that lies on the centre is all zeros."""
        centred = np.asarray(self.evidence.features[rows], dtype=np.float64) - self.centre
        length = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
        return np.ascontiguousarray(centred / np.maximum(length, 1e-12), dtype=np.float32)

    def sample(self, rows: Rows, count: int) -> Rows:
        """At most ``count`` of the rows, drawn and ordered by content."""
        order = np.argsort(self.keys[rows], kind="stable")
        return rows[order[:count]]


def space_of(evidence: Evidence) -> Space:
    """The comparison space of an evidence, built once."""
    return evidence.keep("space", lambda: _build(evidence))


def _build(evidence: Evidence) -> Space:
    keys = content_keys(evidence.features, evidence.seed)
    chosen = np.argsort(keys, kind="stable")[:CENTRE_ROWS]
    # Added up in the order of the keys, so that the sum is the same whatever the order of the images.
    centre = np.asarray(evidence.features[chosen], dtype=np.float64).sum(axis=0) / max(len(chosen), 1)
    return Space(evidence, centre, keys)


def content_keys(vectors: NDArray[np.floating[Any]], seed: int) -> NDArray[np.uint64]:
    """A number drawn from the content of each row [N, D] and the seed, uint64 [N]."""
    salt = (seed % 2**64).to_bytes(8, "little")
    keys = (
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8, salt=salt).digest(), "little") for row in vectors
    )
    return np.fromiter(keys, np.uint64, len(vectors))


@dataclass(frozen=True, eq=False)
class Index:
    """A faiss inner-product index over vectors [P, D], exact up to ``exact_limit`` of them, inverted lists beyond."""

    index: Any
    size: int

    def search(self, queries: Vectors, neighbours: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities float32 [R, K] and positions int64 [R, K] of the nearest vectors, K = min(neighbours, P).

        Position -1 (similarity 0) where an inverted list held too few.
        """
        wide = min(neighbours, self.size)
        similarity = np.zeros((len(queries), wide), dtype=np.float32)
        position = np.full((len(queries), wide), -1, dtype=np.int64)

        def look_up(first: int) -> None:
            for start in range(first, min(first + PER_WORKER, len(queries)), QUERIES):
                block = slice(start, start + QUERIES)
                similarity[block], position[block] = self.index.search(queries[block], wide)

        if wide:
            side_by_side(look_up, range(0, len(queries), PER_WORKER))
        similarity[position < 0] = 0.0
        return similarity, position


def side_by_side(work: Callable[[S], R], items: Sequence[S]) -> list[R]:
    """What ``work`` returns for each item, in order, computed on as many threads as faiss may use.

    Inside, faiss itself uses one thread: many small parallel regions cost more than they gain, tens of times on a busy
    machine. The setting belongs to the worker threads; the caller's stays as it is.
    """
    import faiss

    count = max(1, min(faiss.omp_get_max_threads(), len(items)))
    with ThreadPoolExecutor(count, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, items))


def build_index(vectors: Vectors, *, exact_limit: int, seed: int) -> Index:
    """An index over vectors [P, D]: exact while P <= ``exact_limit``.

    Beyond it 4·√P inverted lists of which an eighth is searched: about an eighth of the work.
    """
    import faiss

    size, width = vectors.shape
    if size <= exact_limit:
        exact = faiss.IndexFlatIP(width)
        exact.add(vectors)
        return Index(exact, size)
    lists = max(1, min(int(4 * np.sqrt(size)), size // 8))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed % 2**31
    index.cp.min_points_per_centroid = 1
    index.nprobe = max(1, lists // 8)
    index.train(vectors)
    index.add(vectors)
    return Index(index, size)
