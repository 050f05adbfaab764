"""What stands beside exported labels: classes, counts, fingerprints and versions, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.formats.export import HUMAN, LabelTable
from spml_annotate.formats.images import SPLIT_NAMES
from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.taxonomy import Taxonomy
from spml_annotate.version import __version__

FORMAT_VERSION = 1


def manifest(table: LabelTable) -> dict[str, Any]:
    """Everything about an export but the labels and the images themselves; plain JSON types."""
    human = table.sources == HUMAN
    return {
        "format": "spml-annotate labels",
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "codes": {"positive": POSITIVE, "negative": NEGATIVE, "unknown": "a cell without a label"},
        "counts": {
            "images": len(table.image_ids),
            "images_without_labels": len(table.without_labels()),
            "classes": len(table.taxonomy),
            "labels": len(table),
            "human": int(human.sum()),
            "proposals": int((~human).sum()),
            "positive": int((table.values == POSITIVE).sum()),
            "negative": int((table.values == NEGATIVE).sum()),
            **{name: int((table.split == code).sum()) for code, name in SPLIT_NAMES.items()},
        },
        "fingerprints": {"classes": table.taxonomy.fingerprint(), "images": fingerprint(table.image_ids)},
        "classes": [
            {"key": key, "name": name, "positive": positive, "negative": negative}
            for key, name, positive, negative in zip(
                table.taxonomy.keys,
                table.taxonomy.names,
                _per_class(table, POSITIVE),
                _per_class(table, NEGATIVE),
                strict=True,
            )
        ],
        "aliases": dict(table.taxonomy.aliases),
        "prompts": dict(table.taxonomy.prompts),
        "metadata": dict(table.metadata),
    }


def to_json(content: Mapping[str, Any]) -> str:
    """Readable JSON that is the same for the same content."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str, where: str) -> dict[str, Any]:
    """The manifest in a text.

    Raises:
        DataError: if it is not one. MismatchError: if a newer version of the package wrote it.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: the manifest is damaged ({error}); export again") from None
    if not isinstance(content, dict) or content.get("format") != "spml-annotate labels":
        raise DataError(f"{where}: this is not the manifest of an export; export again")
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        by = content.get("package_version")
        raise MismatchError(f"{where}: format version {version} was written by spml-annotate {by}; update the package")
    return content


def taxonomy_of(content: Mapping[str, Any], where: str) -> Taxonomy:
    """The classes that a manifest describes.

    Raises:
        DataError: if the description is incomplete. MismatchError: if it does not have the fingerprint it states.
    """
    try:
        taxonomy = Taxonomy(
            names=tuple(entry["name"] for entry in content["classes"]),
            keys=tuple(entry["key"] for entry in content["classes"]),
            aliases=content["aliases"],
            prompts=content["prompts"],
        )
        stated = content["fingerprints"]["classes"]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: the manifest is incomplete ({error!r}); export again") from None
    if taxonomy.fingerprint() != stated:
        raise MismatchError(f"{where}: the classes in the manifest were changed by hand; export again")
    return taxonomy


def metadata_of(content: Mapping[str, Any]) -> dict[str, str]:
    """Further facts in a manifest."""
    found = content.get("metadata", {})
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def fingerprint(image_ids: Iterable[str]) -> str:
    """Hash of image ids in their order."""
    digest = hashlib.sha256()
    for name in image_ids:
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()[:16]


def _per_class(table: LabelTable, code: int) -> list[int]:
    """Labels of one value per class; two annotators of one cell count once."""
    chosen = table.values == code
    classes = max(len(table.taxonomy), 1)
    cells = np.unique(table.rows[chosen] * classes + table.labels[chosen])
    return [int(count) for count in np.bincount(cells % classes, minlength=len(table.taxonomy))]
