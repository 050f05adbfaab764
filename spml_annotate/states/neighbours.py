"""The graph of the nearest neighbours of every image by its features, and what a batch of it needs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_QUERIES = 1024  # rows of one search; the table of their distances is never held for all images at once
_SPARE = 8  # further candidates, so that rounding in the search does not decide between neighbours


class NeighbourGraph:
    """Directed edges from every image to its ``count`` nearest others, by Euclidean distance, ties by row.

    The search is exact: its time grows with the square of the images (about 1 s for 5,000 of 1,280 features), its
    memory with the images. A convolution carries along an edge u -> v, weighted by 1 / sqrt(edges out of u, times
    edges into v); ``averaged`` [n, D] is the first one's sum for the features, which never changes.

    Args:
        features: [n, D].
        count: edges out of an image.
    """

    def __init__(self, features: Tensor, count: int = 3) -> None:
        self.features = features
        images = len(features)
        nearest = _nearest(features.detach().cpu().numpy(), min(count, max(images - 1, 0)))
        sources = np.repeat(np.arange(images, dtype=np.int64), nearest.shape[1])
        order = np.argsort(nearest.ravel(), kind="stable")  # edges by destination, then by source
        into = np.bincount(nearest.ravel(), minlength=images)
        averaged = _averaged(features.detach().cpu(), nearest, into)
        device = features.device
        self.nearest = torch.from_numpy(nearest).to(device)  # int64 [n, K]
        self.averaged = averaged.to(device)
        self._sources = torch.from_numpy(sources[order]).to(device)
        self._starts = torch.from_numpy(np.concatenate([[0], np.cumsum(into)])).to(device)

    def incoming(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Images with an edge into any of these rows, int64 [U], and the convolution's weights [B, U]."""
        first, count = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        place = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), count)
        within = torch.arange(len(place), device=rows.device) - (count.cumsum(0) - count)[place]
        sources, column = torch.unique(self._sources[first[place] + within], return_inverse=True)
        weights = torch.zeros((len(rows), len(sources)), dtype=self.features.dtype, device=rows.device)
        degree = (count * max(self.nearest.shape[1], 1)).to(weights.dtype)
        weights[place, column] = degree[place].rsqrt()
        return sources, weights

    def among(self, rows: Tensor) -> Tensor:
        """1 where there is an edge from one of these rows to another, else 0: [B, B]."""
        edge = (self.nearest[rows][:, :, None] == rows).any(dim=1)
        return edge.to(self.features.dtype)


class ImageFeatures:
    """Features [n, D] of the images that train, and their neighbour graphs, each made once for all that ask."""

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._graphs: dict[int, NeighbourGraph] = {}

    def graph(self, count: int) -> NeighbourGraph:
        """The graph with ``count`` edges out of an image."""
        if count not in self._graphs:
            self._graphs[count] = NeighbourGraph(self.features, count)
        return self._graphs[count]


def _nearest(features: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The ``count`` nearest other rows of every row, int64 [n, count], nearest first, ties by row."""
    import faiss

    images, width = features.shape
    found = np.empty((images, count), dtype=np.int64)
    if count == 0:
        return found
    vectors = np.ascontiguousarray(features, dtype=np.float32)
    index = faiss.IndexFlatL2(width)
    index.add(vectors)
    wide = min(count + 1 + _SPARE, images)
    for start in range(0, images, _QUERIES):
        rows = np.arange(start, min(start + _QUERIES, images))
        candidates = np.sort(index.search(vectors[rows], wide)[1], axis=1)
        distance = np.stack([_distance(features, rows, candidates[:, place]) for place in range(wide)], axis=1)
        distance[candidates == rows[:, None]] = np.inf  # itself
        order = np.argsort(distance, axis=1, kind="stable")[:, :count]
        found[rows] = np.take_along_axis(candidates, order, axis=1)
    return found


def _distance(features: NDArray[np.floating], rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.double]:
    """Squared distance of pairs of rows, summed exactly enough to tell neighbours apart."""
    return np.asarray(np.square(features[rows].astype(np.float64) - features[others]).sum(axis=1))


def _averaged(features: Tensor, nearest: NDArray[np.int64], into: NDArray[np.int64]) -> Tensor:
    """Weighted sum over the edges into every image, on the CPU, whose order of adding is always the same."""
    total = torch.zeros_like(features)
    for place in range(nearest.shape[1]):
        total.index_add_(0, torch.from_numpy(nearest[:, place].copy()), features)
    degree = torch.from_numpy(np.maximum(into * max(nearest.shape[1], 1), 1)).to(features.dtype)
    return total * degree.rsqrt()[:, None]
