"""Annotations in every shape that Label Studio sends."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from strategies_configs import configs, junk, task_data

from spml_annotate.errors import DataError
from spml_annotate.studio.annotations import read_annotation
from spml_annotate.studio.config import parse_config

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "label_studio" / "samples"
CONFIG = parse_config(
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image" choice="multiple">'
    '<Choice value="Cat" alias="k"/><Choice value="dog"/></Choices>'
    '<Choices name="absent" toName="image" choice="multiple" value="$negatives"/>'
    '<Taxonomy name="tree" toName="image"><Choice value="A"><Choice value="B" alias="b"/></Choice></Taxonomy></View>'
)
UPDATED = "2026-11-21T00:39:10.861693Z"


def region(name, *choices, kind="choices", **more):
    return {"from_name": name, "to_name": "image", "type": kind, "value": {kind: list(choices)}, **more}


def annotation(*regions, **changes):
    return {
        "id": 60,
        "task": 3115,
        "completed_by": 4,
        "was_cancelled": False,
        "lead_time": 2.5,
        "created_at": "2026-11-21T00:38:00Z",
        "updated_at": UPDATED,
        "result": list(regions),
        "prediction": {},
        "parent_prediction": None,
        **changes,
    }


def test_what_was_given():
    given = read_annotation(CONFIG, {}, annotation(region("label", "k", "dog", origin="manual")))
    assert given.annotation == 60
    assert given.task == 3115
    assert given.user == 4
    assert given.chosen == {"label": ("Cat", "dog")}
    assert given.unknown == ()
    assert given.seconds == 2.5
    assert given.updated == UPDATED
    assert given.time == datetime(2026, 11, 21, 0, 39, 10, 861693, tzinfo=UTC).timestamp()
    assert not given.skipped
    assert not given.untouched
    assert given.shown == {}
    assert given.version == ""
    assert given.parent is None


@pytest.mark.parametrize(
    ("by", "user"), [(7, 7), ({"id": 7, "email": "a@b"}, 7), (None, None), ("7", None), (True, None), ({}, None)]
)
def test_who_gave_it(by, user):
    assert read_annotation(CONFIG, {}, annotation(completed_by=by)).user == user


@pytest.mark.parametrize(("lead", "seconds"), [(3, 3.0), (None, None), (-1, None), (float("nan"), None), ("3", None)])
def test_how_long_it_took(lead, seconds):
    assert read_annotation(CONFIG, {}, annotation(lead_time=lead)).seconds == seconds


def test_words_that_no_class_is_called_any_more():
    given = read_annotation(CONFIG, {}, annotation(region("label", "k", "cow", "cow"), region("label", "Cat")))
    assert given.chosen == {"label": ("Cat",)}
    assert given.unknown == ("cow", "Cat")


def test_lists_of_the_task_paths_and_controls_of_a_repeater():
    data = {"negatives": [{"value": "$\u200b5", "alias": "$5"}, {"value": "dog"}]}
    given = read_annotation(
        CONFIG,
        data,
        annotation(
            region("absent", "$5", "dog"), region("tree", ["A", "b"], ["A"], kind="taxonomy"), region("v_0", "present")
        ),
    )
    assert given.chosen == {"absent": ("$5", "dog"), "tree": ("A/B", "A"), "v_0": ("present",)}
    assert read_annotation(CONFIG, {}, annotation(region("absent", "dog"))).unknown == ("dog",)


def test_an_accepted_proposal():
    shown = {"id": 9, "model_version": "spml-0003-9f2c", "result": [region("label", "dog")], "score": 0.3}
    accepted = annotation(region("label", "dog", origin="prediction"), prediction=shown, parent_prediction=9)
    given = read_annotation(CONFIG, {}, accepted)
    assert given.untouched
    assert given.shown == {"label": ("dog",)}
    assert (given.version, given.parent) == ("spml-0003-9f2c", 9)


def test_a_proposal_of_which_only_the_id_came():
    shown = {"id": 9, "model_version": "v2", "result": [region("label", "dog")]}
    changed = annotation(region("label", "k", origin="prediction-changed"), parent_prediction=9, prediction=None)
    given = read_annotation(CONFIG, {}, changed, [{"id": 8, "result": []}, 7, shown])
    assert given.shown == {"label": ("dog",)}
    assert given.version == "v2"
    assert not given.untouched
    alone = read_annotation(CONFIG, {}, changed)
    assert (alone.shown, alone.version, alone.parent) == ({}, "", 9)


def test_everything_unticked_is_not_untouched():
    given = read_annotation(CONFIG, {}, annotation(parent_prediction=9))
    assert not given.untouched
    assert given.chosen == {}


def test_a_choice_given_as_a_plain_text():
    odd = {"from_name": "label", "value": {"choices": "dog"}}
    assert read_annotation(CONFIG, {}, annotation(odd)).chosen == {"label": ("dog",)}


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ({}, "its id is None"),
        ({"id": "3"}, "its id is '3'"),
        ({"id": 3, "result": "x"}, "annotation 3: its result is str"),
        ({"id": 3, "updated_at": "yesterday"}, "'yesterday' is not a time"),
    ],
)
def test_what_is_no_annotation(thing, words):
    with pytest.raises(DataError, match=words):
        read_annotation(CONFIG, {}, thing)


@given(configs(), task_data, junk, junk, junk)
def test_whatever_is_sent_is_read_or_refused(xml, data, result, prediction, by):
    try:
        config = parse_config(xml)
    except DataError:
        return
    result = [{"from_name": config.main.name, "value": {"choices": result, "taxonomy": result}}, result]
    given = read_annotation(config, data, annotation(*result, prediction=prediction, completed_by=by))
    assert set(given.chosen.get(config.main.name, ())) <= set(config.main.in_task(data).names)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("webhook_ANNOTATION_*.json")) or [None])
def test_what_the_real_server_sent(name):
    if name is None:
        pytest.skip("../shared/label_studio/samples is not beside this checkout")
    body = json.loads((SAMPLES / name).read_text("utf-8"))["body"]
    config = parse_config(body["project"]["label_config"])
    given = read_annotation(config, body["task"]["data"], body["annotation"])
    assert given.task == body["task"]["id"]
    assert given.user == 1
    assert given.unknown == ()
    assert given.chosen["label"] in (("cat",), ("dog",))
    if "from_ui" in name:
        assert given.skipped
        assert given.untouched
        assert given.shown == {"label": ("dog",)}
        assert given.version == "ui-1"
        assert given.seconds == 2.634
