"""What FiftyOne wants to be told of a data set: its document, and the types of the fields of its samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from spml_annotate.formats.label_facts import FURTHER, IMAGE_ID, NEGATIVES, OURS

LABELS, UNKNOWN = "labels", "unknown"
VERSION = "1.0.0"
"""The revision of FiftyOne whose document this is; later ones bring it up to date when they read it."""
_FIELDS, _LABELS = "fiftyone.core.fields.", "fiftyone.core.labels."
_TEXT, _NUMBER = f"{_FIELDS}StringField", f"{_FIELDS}FloatField"
_PLAIN = {
    "source": _TEXT,
    "annotator": _TEXT,
    "time": _NUMBER,
    "shown": f"{_FIELDS}BooleanField",
    "place": f"{_FIELDS}IntField",
}
"""Attributes of labels beyond FiftyOne's own; fields that are described can be filtered by in its app."""


def document(name: str, classes: Sequence[str], about: Mapping[str, Any], *, unknown: bool) -> dict[str, Any]:
    """The content of ``metadata.json``.

    Args:
        name: of the data set; FiftyOne gives it one of its own unless it is told one.
        classes: names of the classes.
        about: the manifest, kept as JSON text: MongoDB has no keys with dots in them.
        unknown: whether samples have the field of unknown classes.
    """
    identity = hashlib.sha256(json.dumps([name, *classes]).encode()).hexdigest()[:24]
    return {
        "_id": {"$oid": identity},
        "name": name,
        "slug": name,
        "version": VERSION,
        "sample_collection_name": f"samples.{identity}",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {OURS: json.dumps(about, ensure_ascii=False)},
        "app_config": {"media_fields": ["filepath"], "grid_media_field": "filepath", "modal_media_field": "filepath"},
        "classes": {field: list(classes) for field in (LABELS, NEGATIVES)},
        "default_classes": list(classes),
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _sample_fields(unknown=unknown),
        "frame_fields": [],
        **{kind: [] for kind in ("saved_views", "workspaces")},
        **{kind: {} for kind in ("annotation_runs", "brain_methods", "evaluations", "runs")},
    }


def _sample_fields(*, unknown: bool) -> list[dict[str, Any]]:
    identity = f"{_FIELDS}ObjectIdField"
    fields = [
        _field("id", identity, db_field="_id"),
        _field("filepath", _TEXT),
        _field("tags", f"{_FIELDS}ListField", subfield=_TEXT),
        _field(
            "metadata", f"{_FIELDS}EmbeddedDocumentField", of="fiftyone.core.metadata.ImageMetadata", fields=_sizes()
        ),
        _field("_media_type", _TEXT),
        _field("_rand", _NUMBER),
        _field("_dataset_id", identity),
        _field("created_at", f"{_FIELDS}DateTimeField", read_only=True),
        _field("last_modified_at", f"{_FIELDS}DateTimeField", read_only=True),
        _field(IMAGE_ID, _TEXT),
        _classifications(LABELS, "Labels that are present"),
        _classifications(NEGATIVES, "Labels that are absent"),
        _classifications(
            FURTHER, "Labels that others outweigh: an earlier answer, or a proposal that a person answered"
        ),
    ]
    if unknown:
        fields.append(_field(UNKNOWN, f"{_FIELDS}ListField", subfield=_TEXT))
    return fields


def _sizes() -> list[dict[str, Any]]:
    kinds = {"size_bytes": "Int", "mime_type": "String", "width": "Int", "height": "Int", "num_channels": "Int"}
    return [_field(name, f"{_FIELDS}{kind}Field") for name, kind in kinds.items()]


def _classifications(name: str, description: str) -> dict[str, Any]:
    own = [
        _field("id", f"{_FIELDS}ObjectIdField", db_field="_id"),
        _field("tags", f"{_FIELDS}ListField", subfield=_TEXT),
        _field("label", _TEXT),
        _field("confidence", _NUMBER),
        _field("logits", f"{_FIELDS}VectorField"),
    ]
    plain = {**_PLAIN, "value": f"{_FIELDS}IntField"} if name == FURTHER else _PLAIN
    each = _field(
        "classifications",
        f"{_FIELDS}ListField",
        of=f"{_LABELS}Classification",
        subfield=f"{_FIELDS}EmbeddedDocumentField",
        fields=[*own, *(_field(attribute, kind) for attribute, kind in plain.items())],
    )
    logits = _field("logits", f"{_FIELDS}VectorField")
    made = _field(name, f"{_FIELDS}EmbeddedDocumentField", of=f"{_LABELS}Classifications", fields=[each, logits])
    return {**made, "description": description}


def _field(
    name: str,
    kind: str,
    *,
    of: str | None = None,
    subfield: str | None = None,
    fields: Sequence[dict[str, Any]] = (),
    db_field: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": kind,
        "embedded_doc_type": of,
        "subfield": subfield,
        "fields": list(fields),
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
    }
