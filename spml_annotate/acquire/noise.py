"""Random numbers that belong to a cell, not to the order of asking: blocked equals unblocked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, rows: NDArray[np.integer], columns: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) of shape [R, columns], each a function of (seed, row, column) alone (SplitMix64 finaliser)."""
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        key = rows.astype(np.uint64)[:, None] * np.uint64(columns) + np.arange(columns, dtype=np.uint64)
        key = start + (key + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    return np.asarray((key >> np.uint64(11)).astype(np.float64) * 2.0**-53)
