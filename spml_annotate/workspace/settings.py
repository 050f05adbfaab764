"""``spml.toml``: what a project is called, its classes, and what was chosen for it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spml_annotate.acquire.cost import PRICES, Prices
from spml_annotate.errors import DataError, MismatchError, SettingError
from spml_annotate.folding import POLICIES, Policy
from spml_annotate.stores.atomic import write_text
from spml_annotate.taxonomy import Taxonomy

FORMAT_VERSION = 1
_HEAD = "# A labelling project of spml-annotate. Change classes with `spml-annotate classes`, never by hand.\n\n"
_NO_PRICES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class FeatureSettings:
    """Which features a project uses: the full ``key`` of what makes them, and the options that it was built from."""

    key: str
    backbone: str = "builtin"
    weights: str = "default"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of a project.

    Args:
        name: short name for tables and exports.
        taxonomy: the classes.
        batches: number of classes after each addition, ascending; the last is L.
        policy: what becomes of cells about which annotators disagree.
        seconds: prices that differ from the published defaults.
        features: the features in use; None before the first embedding.
        expected_positives: k, if it was set for the project; ``expected_positives_from`` says where it comes from.

    Raises:
        SettingError: for a k outside (0, L].
    """

    name: str
    taxonomy: Taxonomy
    batches: tuple[int, ...]
    policy: Policy = "unanimous"
    seconds: Mapping[str, float] = field(default_factory=lambda: _NO_PRICES)
    features: FeatureSettings | None = None
    expected_positives: float | None = None
    expected_positives_from: str = ""

    def __post_init__(self) -> None:
        k, classes = self.expected_positives, max(len(self.taxonomy), 1)
        if k is not None and not 0.0 < k <= classes:
            raise SettingError(
                f"{k:g} expected positives per image: it must be above 0 and at most {classes}, the number of classes; "
                "`spml-annotate estimate-k --save NUMBER` sets it"
            )

    @property
    def prices(self) -> Prices:
        """Seconds per action."""
        return Prices(**self.seconds)

    def with_taxonomy(self, taxonomy: Taxonomy) -> Settings:
        """The same settings with other classes; a longer list is a new batch."""
        grown = len(taxonomy) > self.batches[-1]
        return replace(self, taxonomy=taxonomy, batches=(*self.batches, len(taxonomy)) if grown else self.batches)


def save_settings(path: Path, settings: Settings) -> None:
    """Replace ``spml.toml``."""
    import tomli_w

    taxonomy = settings.taxonomy
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": settings.name,
        "policy": settings.policy,
        "classes_added": list(settings.batches),
        "classes_fingerprint": taxonomy.fingerprint(),
    }
    if settings.seconds:
        content["seconds"] = dict(settings.seconds)
    if settings.features is not None:
        content["features"] = {k: v for k, v in asdict(settings.features).items() if v is not None}
    if settings.expected_positives is not None:
        content["training"] = {
            "expected_positives": settings.expected_positives,
            "expected_positives_from": settings.expected_positives_from,
        }
    content["aliases"] = dict(taxonomy.aliases)
    content["classes"] = [
        {"key": key, "name": name, **({"prompt": taxonomy.prompts[key]} if key in taxonomy.prompts else {})}
        for key, name in zip(taxonomy.keys, taxonomy.names, strict=True)
    ]
    write_text(path, _HEAD + tomli_w.dumps(content))


def load_settings(path: Path) -> Settings:
    """The settings in ``spml.toml``.

    Raises:
        DataError: if it is missing or damaged. MismatchError: if a newer version wrote it, or classes were moved in it
            by hand. SettingError: for a value that cannot be used.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; restore it from a copy") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this is not TOML ({error}); mend it or restore it from a copy") from None
    version = content.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise DataError(f"{path}: format_version is missing; is this the folder of a project?")
    if version > FORMAT_VERSION:
        raise MismatchError(
            f"{path}: written by a newer version (format {version}, this one reads up to {FORMAT_VERSION}); "
            "upgrade spml-annotate"
        )
    try:
        return _settings(content, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: something is missing or of the wrong kind ({error!r}); restore it from a copy"
        ) from None


def _settings(content: dict[str, Any], path: Path) -> Settings:
    classes = content["classes"]
    taxonomy = Taxonomy(
        names=tuple(entry["name"] for entry in classes),
        keys=tuple(entry["key"] for entry in classes),
        aliases=content.get("aliases", {}),
        prompts={entry["key"]: entry["prompt"] for entry in classes if "prompt" in entry},
    )
    if content["classes_fingerprint"] != taxonomy.fingerprint():
        raise MismatchError(
            f"{path}: classes were added, removed or moved by hand, so that answers would change their meaning; "
            "restore the list and use `spml-annotate classes`"
        )
    policy = content.get("policy", "unanimous")
    if policy not in POLICIES:
        raise SettingError(f"{path}: policy {policy!r}: choose from {', '.join(POLICIES)}")
    seconds = dict(content.get("seconds", {}))
    unknown = sorted(set(seconds) - set(PRICES))
    if unknown:
        raise SettingError(f"{path}: there is no price {unknown[0]!r}; choose from {', '.join(PRICES)}")
    training = content.get("training", {})
    k = training.get("expected_positives")
    return Settings(
        name=str(content["name"]),
        taxonomy=taxonomy,
        batches=tuple(int(size) for size in content["classes_added"]),
        policy=policy,
        seconds=seconds,
        features=_features(content.get("features")),
        expected_positives=None if k is None else float(k),
        expected_positives_from=str(training.get("expected_positives_from", "")),
    )


def _features(content: dict[str, Any] | None) -> FeatureSettings | None:
    if content is None:
        return None
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return FeatureSettings(**values)
