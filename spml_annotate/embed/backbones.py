"""Networks that turn a picture into features: the built-in one and every classifier of torchvision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spml_annotate.device import choose_device
from spml_annotate.embed.builtin import BUILTIN_PREPROCESSING, BuiltinNetwork, builtin_state
from spml_annotate.embed.preprocessing import Preprocessing
from spml_annotate.embed.silhouette import ShapeNetwork
from spml_annotate.embed.weights import download_state, fill, read_state, weights_hash
from spml_annotate.errors import SettingError
from spml_annotate.registry import Registry

if TYPE_CHECKING:
    from PIL.Image import Image

_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Models with heads that matter in their own training only; they also want pictures normalised in their own way."""


class Architecture(NamedTuple):
    """A network without weights of its own yet.

    ``network`` maps [B, 3, S, S] to [B, ``features_dim``]; ``removed`` are beginnings of names that its weight files
    hold beyond what is left of it.
    """

    network: nn.Module
    features_dim: int
    preprocessing: Preprocessing
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network ready for `embed.images.extract`; D is ``features_dim``.

    ``key`` names backbone, weights and preprocessing: equal keys mean equal features, so stores go by it.
    """

    name: str
    network: nn.Module
    features_dim: int
    preprocessing: Preprocessing
    key: str
    device: torch.device

    def preprocess(self, image: Image) -> Tensor:
        """Float32 [3, S, S] of an RGB picture."""
        return self.preprocessing(image)


def _builtin() -> Architecture:
    """A small network that ships with the package: colour, texture and shape, no download."""
    network = BuiltinNetwork()
    return Architecture(network, network.features_dim, BUILTIN_PREPROCESSING)


def _builtin_shapes() -> Architecture:
    """The built-in one, and the silhouette of the one thing that a simple picture shows, whatever its colour."""
    network = ShapeNetwork()
    return Architecture(network, network.features_dim, BUILTIN_PREPROCESSING)


def _torchvision(name: str) -> Callable[[], Architecture]:
    def build() -> Architecture:
        from torchvision import models

        weights = models.get_model_weights(name).DEFAULT
        options: dict[str, object] = {}
        if name in _AUXILIARY:
            options = {"aux_logits": False, "init_weights": False, "transform_input": True}
        elif name.startswith("vit_"):
            options = {"image_size": weights.meta["min_size"][0]}  # positions are learned for one size only
        network = models.get_model(name, weights=None, **options)
        classifier, width = _without_classifier(network)
        removed = (classifier, *_AUXILIARY.get(name, ()))
        return Architecture(network, width, _preset(weights.transforms()), removed)

    build.__doc__ = f"Torchvision's {name}, without its classifier."
    return build


def _without_classifier(network: nn.Module) -> tuple[str, int]:
    """Take off the last layer, in place; returns the beginning of its names and the width of what it was given."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:  # squeezenet classifies by a convolution over the last map
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return "classifier.", 512
    parent, _, child = linear[-1].rpartition(".")
    last = network.get_submodule(linear[-1])
    assert isinstance(last, nn.Linear)
    setattr(network.get_submodule(parent), child, nn.Identity())
    return f"{linear[-1]}.", last.in_features


def _preset(preset: Any) -> Preprocessing:  # noqa: ANN401  (torchvision is untyped)
    """Ours, equal to torchvision's."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic" if preset.interpolation.value == "bicubic" else "bilinear"
    cropped = Preprocessing(preset.crop_size[0], preset.resize_size[0], filter=interpolation)
    return cropped.changed(mean=preset.mean, std=preset.std)


def _register() -> None:
    from torchvision import models

    BACKBONES.register("builtin", family="built in", default=builtin_state)(_builtin)
    BACKBONES.register("builtin-shapes", family="built in", default=builtin_state)(_builtin_shapes)
    for name in models.list_models(module=models):
        BACKBONES.register(name, family="torchvision", default=partial(download_state, name))(_torchvision(name))


BACKBONES: Registry[Callable[[], Architecture]] = Registry("backbone", load=_register)


def load_backbone(
    name: str = "builtin",
    weights: str | Path = "default",
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | None = None,
    device: str = "auto",
) -> Backbone:
    """A backbone by name, with weights, in evaluation mode on a device.

    Args:
        name: ``builtin`` or the name of a torchvision classifier.
        weights: ``default`` (what comes with it), ``none`` (random, the same ones each time) or a file.
        mean: overrides what is subtracted from the channels (in [0, 1]); one number or three.
        std: overrides what they are divided by.
        size: overrides the side of the square that the network sees; the whole picture is then squeezed into it.
        device: see `choose_device`.

    Raises:
        SettingError: for an unknown name or a size that the network cannot take.
        DataError, MismatchError: for a weight file that cannot be read or is of another network.
        MissingExtraError: if the default weights cannot be downloaded.
    """
    entry = BACKBONES[name]
    target = choose_device(device)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator; leave it as it was
        torch.manual_seed(0)
        network, features_dim, preprocessing, removed = entry.function()
    if str(weights) != "none":
        chosen = str(weights) == "default"
        state: Mapping[str, Tensor] = entry.facts["default"]() if chosen else read_state(Path(weights))
        fill(network, state, name=name, removed=removed, where=f"{name} (default)" if chosen else str(weights))
    if name in _AUXILIARY and (mean is not None or std is not None):
        network.transform_input = False  # type: ignore[assignment]  # a plain flag; the caller normalises instead
    preprocessing = preprocessing.changed(mean=mean, std=std, size=size)
    network = network.eval().requires_grad_(False).to(target)
    if size is not None:
        _try(name, network, preprocessing.size, target)
    key = f"{name}-{weights_hash(network)[:12]}-{preprocessing.size}-{preprocessing.fingerprint}"
    return Backbone(name, network, features_dim, preprocessing, key, target)


def _try(name: str, network: nn.Module, size: int, device: torch.device) -> None:
    """Some networks take one size only, or none below some size."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size, device=device))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingError(f"--size {size}: {name} cannot take such pictures ({reason}); leave --size out") from None
