"""Weight files: read, download, check against a network, name by content."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spml_annotate.errors import DataError, MismatchError, MissingExtraError, SettingError

_TIMEOUT = 10.0
"""Seconds to wait for the server's first answer before giving up on a download."""
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name from a ``.safetensors``, ``.pth`` or ``.pt`` file; code inside a pickle is never run.

    Raises:
        SettingError: for a file of another kind.
        DataError: if it is missing, damaged or does not hold a state dict.
    """
    if path.suffix not in {".safetensors", ".pth", ".pt"}:
        raise SettingError(
            f"--weights {path}: give `default`, `none`, or a file that ends in .safetensors, .pth or .pt"
        )
    if not path.is_file():
        raise DataError(f"{path}: there is no such weight file; check --weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers meet damaged files with errors of every kind
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(f"{path}: the weight file cannot be read ({reason}); fetch it again") from error
    return _state_in(content, path)


def _state_in(content: Any, path: Path) -> Mapping[str, Tensor]:  # noqa: ANN401  (a pickle holds anything)
    """The state dict itself, or the one inside a training checkpoint."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"{path}: this is not a state dict (names with tensors); save one with model.state_dict()")
    return content


def download_state(name: str) -> Mapping[str, Tensor]:
    """Torchvision's own default weights of a model, from its download cache or the internet.

    Raises:
        MissingExtraError: if they are in neither; it says what to fetch and how to pass it.
    """
    from torchvision.models import get_model_weights

    default = get_model_weights(name).DEFAULT
    file = Path(default.url).name
    try:
        if not (Path(torch.hub.get_dir()) / "checkpoints" / file).exists():
            request = urllib.request.Request(default.url, method="HEAD")  # noqa: S310  (torchvision's own https address)
            with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310  (the download itself has no time limit)
                pass
        state: Mapping[str, Tensor] = default.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a broken download, whose hash is wrong
        raise MissingExtraError(
            f"the weights of {name} cannot be downloaded ({error}); fetch {default.url} ({default}) on a machine with "
            f"internet and pass `--weights {file}`, or use `--backbone builtin`, which needs no download"
        ) from error
    return state


def fill(network: nn.Module, state: Mapping[str, Tensor], *, name: str, removed: tuple[str, ...], where: str) -> None:
    """Put weights into a network whose classifier is gone.

    Args:
        network: changed in place.
        state: tensors by name, those of the classifier included or not.
        name: of the backbone, for messages.
        removed: beginnings of names that a file may hold beyond what the network needs.
        where: the weights' origin, for messages.

    Raises:
        MismatchError: if names or shapes are not those of the network.
    """
    wanted = _cleaned(network, state, name, removed)
    try:
        missing, unknown = network.load_state_dict(wanted, strict=False)
    except RuntimeError as error:
        found = re.search(r"size mismatch for (\S+):", str(error))
        what = f"{found[1]!r} has another shape" if found else " ".join(str(error).split())
        raise MismatchError(f"{where}: {what} than {name} needs; give the weights of a torchvision {name}") from None
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unknown:
        lacks = f"lacks {len(missing)} tensors such as {missing[0]!r}" if missing else ""
        has = f"has {len(unknown)} unknown ones such as {unknown[0]!r}" if unknown else ""
        faults = " and ".join(filter(None, (lacks, has)))
        raise MismatchError(f"{where}: it is no {name}: it {faults}; give the weights of a torchvision {name}")


def _cleaned(
    network: nn.Module, state: Mapping[str, Tensor], name: str, removed: tuple[str, ...]
) -> OrderedDict[str, Tensor]:
    """The part of a state dict that the network wants, under today's names."""
    wrapped = all(key.startswith("module.") for key in state)
    wanted: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in state.items():
        plain = key.removeprefix("module.") if wrapped else key
        if name.startswith("densenet"):
            plain = _OLD_DENSENET.sub(r"\1\2.", plain)
        if not plain.startswith(removed):
            wanted[plain] = value
    # The versions of the layers travel beside the tensors; mnasnet refuses a file that, as safetensors, has none.
    metadata = getattr(state, "_metadata", None)
    if metadata is None and name.startswith("mnasnet"):
        metadata = getattr(network.state_dict(), "_metadata", None)
    if metadata is not None:
        wanted._metadata = metadata  # type: ignore[attr-defined]  # where torch itself keeps it
    return wanted


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names and values, the same whatever kind of file they came from."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        if not key.endswith("num_batches_tracked"):
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}\0".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
