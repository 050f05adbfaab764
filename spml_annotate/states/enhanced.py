"""The labels that a model infers from an image and its neighbours, trained along with the classifier (SMILE)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spml_annotate.errors import MismatchError, SettingError
from spml_annotate.states import STATES
from spml_annotate.states.memory import Memory
from spml_annotate.states.neighbours import ImageFeatures
from spml_annotate.states.tables import check_labels


@STATES.register(
    "enhanced",
    paper="arXiv:2206.00517",
    fills=("estimate", "reconstruction"),
    also_keeps="two small networks, 3 D L + 6 L^2 numbers for D features and L classes; for all runs together "
    "the features and their averages, 2 D numbers per image, and 3 neighbours of every image",
)
class EnhancedState(Memory):
    """``estimate`` d = sigmoid of two graph convolutions and a linear layer; ``reconstruction`` is what d explains.

    The convolutions (features -> L, relu, L -> L) run over the images' `NeighbourGraph`; an image that is nobody's
    neighbour has their biases only. A second network makes L hidden numbers h of features and d; from d and h the
    features are reconstructed, and from the products d d' of two images whether one is among the other's neighbours.
    The error of both, mean squared, is the mean over the batch. Both networks have one hidden layer of L units.

    Only the rows of a batch and the images with an edge into them go through the layers, exactly. Nothing is
    remembered per image but the features' averages over their neighbours, once for all heads.

    Args:
        labels: int8 [H, n, L]; only their shape is used, the loss does the rest.
        seeds: one per head; a head's start depends on its own seed only. Zeros if none are given.
        features: [n, D], or the `ImageFeatures` that hold them, whose graph several states may share.
        neighbours: edges out of an image.
        learning_rate_multiplier: the optimiser's learning rate for the networks is this many times the model's.

    Raises:
        SettingError: without features or for a setting that cannot be used.
        MismatchError, DataError: for features or labels that cannot be used.
    """

    name = "enhanced"

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int] = (),
        features: Tensor | ImageFeatures | None = None,
        *,
        neighbours: int = 3,
        learning_rate_multiplier: float = 1.0,
    ) -> None:
        heads, images, classes = check_labels(labels).shape
        if features is None:
            raise SettingError("enhanced infers labels from features and was given none; give features [images, D]")
        if neighbours < 1:
            raise SettingError(f"enhanced.neighbours: {neighbours} makes no graph; at least 1 is needed")
        shared = features if isinstance(features, ImageFeatures) else ImageFeatures(features)
        if len(shared.features) != images:
            raise MismatchError(
                f"enhanced: features of {len(shared.features)} images and labels of {images}; give those of the same"
            )
        chosen = tuple(seeds) or (0,) * heads
        if len(chosen) != heads:
            raise SettingError(f"enhanced: {len(chosen)} seeds for {heads} heads; give one per head")
        self.learning_rate_multiplier = learning_rate_multiplier
        graph = self._graph = shared.graph(neighbours)
        self._layers = {
            name: nn.Parameter(values.to(graph.features.device))
            for name, values in _initial(chosen, graph.features.shape[1], classes, graph.features.dtype).items()
        }

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """``estimate`` and ``reconstruction``, [H, B, L] with gradient into the networks."""
        rows = rows.to(self._graph.features.device)
        own = self._graph.features.index_select(0, rows)
        sources, weights = self._graph.incoming(rows)
        around = self._apply("first", self._graph.averaged.index_select(0, sources)).relu()
        around = self._apply("second", weights @ around)
        estimate = self._apply("third", around).sigmoid()
        hidden = self._apply("encode", torch.cat([own.expand(len(estimate), -1, -1), estimate], dim=-1)).relu()
        hidden = self._apply("encoded", hidden)
        decoded = self._apply("decode", torch.cat([estimate, hidden], dim=-1)).relu()
        error = torch.square(self._apply("decoded", decoded) - own).mean(dim=(-2, -1), keepdim=True)
        products = estimate @ estimate.transpose(-2, -1)
        error = error + torch.square(products - self._graph.among(rows)).mean(dim=(-2, -1), keepdim=True)
        return {"estimate": estimate, "reconstruction": error.expand_as(estimate)}

    def _apply(self, layer: str, values: Tensor) -> Tensor:
        """One linear layer of every head, [H, R, out] of [R, in] or [H, R, in]."""
        return values @ self._layers[layer] + self._layers[f"{layer}.bias"]

    def parameters(self) -> list[nn.Parameter]:
        """The layers of the networks, for the optimiser, at `learning_rate_multiplier` times the learning rate."""
        return list(self._layers.values())

    def tables(self) -> dict[str, Tensor]:
        """What is saved: the layers; the graph follows from the features."""
        return dict(self._layers)


def _initial(seeds: Sequence[int], dimension: int, classes: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights [H, in, out] even within sqrt(6 / (in + out)), biases [H, 1, out] of 0; drawn on the CPU head by head."""
    sizes = {
        "first": (dimension, classes),
        "second": (classes, classes),
        "third": (classes, classes),
        "encode": (dimension + classes, classes),
        "encoded": (classes, classes),
        "decode": (2 * classes, classes),
        "decoded": (classes, dimension),
    }
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    layers = {}
    for name, (rows, columns) in sizes.items():
        edge = (6.0 / (rows + columns)) ** 0.5
        drawn = [(torch.rand((rows, columns), generator=g, dtype=dtype) * 2.0 - 1.0) * edge for g in generators]
        layers[name] = torch.stack(drawn) if drawn else torch.zeros((0, rows, columns), dtype=dtype)
        layers[f"{name}.bias"] = torch.zeros((len(seeds), 1, columns), dtype=dtype)
    return layers
