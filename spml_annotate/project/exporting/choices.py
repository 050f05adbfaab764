"""What may be chosen for an export, which choices exclude each other, and which format a file name means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from spml_annotate.errors import SettingError
from spml_annotate.formats import FORMATS
from spml_annotate.formats.dataset import SPLITS
from spml_annotate.registry import Entry, Registry

Labels = Literal["human", "all"]
Unknown = Literal["keep", "negative", "drop-images"]
Images = Literal["none", "copy", "link"]
_OPTIONS = ("pictures", "link")
"""Settings of savers that have an option of their own: --images."""
_USUAL = {".csv": "open-images", "": "parquet"}
"""Formats that keep everything, where several would fit."""


@dataclass(frozen=True)
class Choices:
    """What goes into an export; see `export` for the meaning of each.

    Raises:
        SettingError: for a value outside the above, and for choices that exclude each other.
    """

    labels: Labels | None = None
    min_confidence: float | None = None
    min_precision: float | None = None
    soft: bool = False
    unknown: Unknown = "keep"
    splits: tuple[str, ...] = tuple(SPLITS)
    images: Images | None = None

    def __post_init__(self) -> None:
        for option, value, allowed in (
            ("labels", self.labels, (None, *get_args(Labels))),
            ("unknown", self.unknown, get_args(Unknown)),
            ("images", self.images, (None, *get_args(Images))),
            *(("splits", split, tuple(SPLITS)) for split in self.splits),
        ):
            if value not in allowed:
                raise SettingError(f"--{option} {value!r}: choose from {', '.join(filter(None, allowed))}")
        if not self.splits:
            raise SettingError(f"--splits is empty; choose from {', '.join(SPLITS)}")
        self._check_thresholds()
        self._check_soft()

    def _check_thresholds(self) -> None:
        confidence, precision = self.min_confidence, self.min_precision
        if confidence is not None and not 0.0 <= confidence <= 1.0:
            raise SettingError(f"--min-confidence {confidence:g}: a confidence lies between 0 and 1")
        if precision is not None and not 0.0 < precision < 1.0:
            raise SettingError(f"--min-precision {precision:g}: it must lie between 0 and 1")
        if confidence is not None and precision is not None:
            raise SettingError("--min-confidence and --min-precision both say which proposals to take; give one")
        given = "--min-confidence" if confidence is not None else "--min-precision" if precision is not None else ""
        if given and self.labels == "human":
            raise SettingError(f"{given} chooses proposals, and --labels human leaves them out; give one of the two")

    def _check_soft(self) -> None:
        if not self.soft:
            return
        if self.labels == "human":
            raise SettingError("--soft writes what the model believes, and --labels human leaves it out; give one")
        if self.unknown != "keep":
            raise SettingError(f"--soft gives cells that nobody answered a probability; leave --unknown {self.unknown}")
        if self.min_confidence is not None or self.min_precision is not None:
            raise SettingError(
                "--soft gives every cell its probability; leave --min-confidence and --min-precision out"
            )

    def check_format(self, name: str) -> None:
        """Raise SettingError if the format cannot hold what is asked for."""
        can = FORMATS[name].facts["can"]
        for wanted, option, capability in (
            (self.soft, "--soft", "scores"),
            (self.images in ("copy", "link"), f"--images {self.images}", "pictures"),
        ):
            if wanted and capability not in can:
                others = ", ".join(other for other in written() if capability in FORMATS[other].facts["can"])
                raise SettingError(f"{option}: {name} holds no {capability}; choose from: {others or 'no format'}")
        if self.images == "link" and "link" not in _writer(name).settings:
            raise SettingError(f"--images link: {name} holds the bytes of pictures themselves; use --images copy")


def written() -> list[str]:
    """Names of the formats that exports are written in."""
    return [name for name in FORMATS if FORMATS[name].facts["saves"] is not None]


def measures_pictures(name: str) -> bool:
    """Whether the saver of a format opens pictures that the format does not hold."""
    return bool(FORMATS[name].facts.get("measures", False))


def format_of(out: Path, name: str | None) -> str:
    """The format asked for, or the one that the ending of ``out`` tells.

    Raises:
        SettingError: for a format that does not exist or is not written, and for an ending that tells none or several.
    """
    if name is not None:
        if FORMATS[name].facts["saves"] is None:
            raise SettingError(f"--format {name}: it is only read; choose from {', '.join(written())}")
        return name
    suffix = out.suffix.lower()
    if suffix in _USUAL:
        return _USUAL[suffix]
    fitting = [found for found in written() if suffix in FORMATS[found].facts["suffixes"]]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise SettingError(f"{out}: several formats end in {suffix}; give --format {' or --format '.join(fitting)}")
    return "parquet" if out.is_dir() or not _is_ending(suffix) else _unknown_ending(out, suffix)


def _is_ending(suffix: str) -> bool:
    """``.npz`` is the ending of a file, ``.2`` in ``birds-1.2`` is not."""
    return any(suffix in FORMATS[name].facts["suffixes"] for name in FORMATS) or suffix[1:].isalpha()


def _unknown_ending(out: Path, suffix: str) -> str:
    raise SettingError(
        f"{out}: no format that is written ends in {suffix}; give --format, from: {', '.join(written())}"
    )


def saver_settings(name: str, given: Mapping[str, object], *, link: bool) -> dict[str, Any]:
    """Settings to call the saver of a format with; strings are converted to the type of the default.

    Raises:
        SettingError: for a setting that the saver does not have or a value of the wrong type.
    """
    entry = _writer(name)
    own = replace(entry, settings={key: value for key, value in entry.settings.items() if key not in _OPTIONS})
    checked = own.checked(given)
    return {key: checked[key] for key in given} | ({"link": True} if link else {})


def _writer(name: str) -> Entry[Any]:
    """The saver of a format, read like a plug-in: its signature is its declaration."""
    writers: Registry[Any] = Registry("writer")
    writers.register(name)(FORMATS[name].facts["saves"])
    return writers[name]


def as_splits(text: str | Sequence[str]) -> tuple[str, ...]:
    """Split names from ``train,validation`` or a sequence, each once, in the usual order where they are known."""
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else list(text)
    given = dict.fromkeys(part for part in parts if part)
    return (*(name for name in SPLITS if name in given), *(name for name in given if name not in SPLITS))
