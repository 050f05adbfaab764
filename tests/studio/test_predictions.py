"""Predictions: valid for every config and every task, whatever the scores; a second opinion from the SDK."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_configs import configs, damaged, task_data, words

from spml_annotate.errors import DataError
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import check_prediction, empty_prediction, prediction, ticked

IMAGE = '<Image name="image" value="$image"/>'
SINGLE = parse_config(
    f'<View>{IMAGE}<Choices name="c" toName="image"><Choice value="Cat" alias="k"/><Choice value="dog"/></Choices>'
    "</View>"
)
MULTIPLE = parse_config(
    f'<View>{IMAGE}<Choices name="c" toName="image" choice="multiple"><Choice value="cat"/><Choice value="dog"/>'
    '<Choice value="car" predicted_values="auto"/></Choices></View>'
)
TREE = parse_config(
    f'<View>{IMAGE}<Taxonomy name="t" toName="image" maxUsages="2"><Choice value="A"><Choice value="B"/>'
    '<Choice value="C"/></Choice></Taxonomy></View>'
)
LISTED = parse_config(f'<View>{IMAGE}<Choices name="c" toName="image" value="$options"/></View>')


def proposed(config, data, scores, priority=0.5):
    made = prediction(config, data, scores, priority=priority, version="v1")
    assert check_prediction(config, data, made) == []
    return made


def test_a_single_choice_gets_the_best_alone():
    made = proposed(SINGLE, {}, {"Cat": 0.7, "dog": 0.6, "cow": 0.99})
    assert made == {
        "result": [
            {
                "id": "spml-1",
                "from_name": "c",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": ["k"]},
                "score": 0.7,
            }
        ],
        "score": 0.5,
        "model_version": "v1",
    }


def test_multiple_choices_come_in_the_order_of_the_config():
    (region,) = proposed(MULTIPLE, {}, {"auto": 0.9, "cat": 0.6, "dog": math.nan})["result"]
    assert region["value"] == {"choices": ["cat", "car"]}
    assert region["score"] == 0.9


def test_a_taxonomy_gets_paths_and_no_more_than_may_be_chosen():
    (region,) = proposed(TREE, {}, {"A": 0.1, "A/B": 0.9, "A/C": 0.8})["result"]
    assert region["type"] == "taxonomy"
    assert region["value"] == {"taxonomy": [["A", "B"], ["A", "C"]]}


def test_only_what_the_task_lists_is_proposed():
    (region,) = proposed(LISTED, {"options": [{"value": "x"}, {"value": "y"}]}, {"x": 0.1, "z": 0.9})["result"]
    assert region["value"] == {"choices": ["x"]}
    assert proposed(LISTED, {"options": 7}, {"x": 0.9})["result"] == []
    assert proposed(LISTED, None, {"x": 0.9})["result"] == []


@pytest.mark.parametrize(
    ("number", "expected"), [(-1.0, 0.0), (2, 1.0), (math.inf, 1.0), (-math.inf, 0.0), (math.nan, 0.0), (0.25, 0.25)]
)
def test_priorities_and_probabilities_stay_between_0_and_1(number, expected):
    assert empty_prediction("v", number) == {"result": [], "score": expected, "model_version": "v"}
    made = proposed(SINGLE, {}, {"dog": number}, priority=number)
    assert made["score"] == expected
    assert [region["score"] for region in made["result"]] == ([] if math.isnan(number) else [expected])


def test_ticking_without_probabilities():
    made = ticked(MULTIPLE, {}, ["dog", "cow", "cat"], priority=0.2, version="v")
    assert made["result"][0]["value"] == {"choices": ["cat", "dog"]}
    assert "score" not in made["result"][0]
    assert check_prediction(MULTIPLE, {}, made) == []
    assert ticked(MULTIPLE, {}, [], priority=0.2, version="v")["result"] == []


def region(**changes):
    return {"from_name": "c", "to_name": "image", "type": "choices", "value": {"choices": ["k"]}, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"result": None}, "not a list"),
        ({"result": [3]}, "not an object"),
        ({"score": 17.5}, "score 17.5"),
        ({"score": "0.5"}, "score '0.5'"),
        ({"score": None}, "score None"),
        ({"score": math.nan}, "score nan"),
        ({"model_version": ""}, "model_version"),
        ({"model_version": None}, "model_version"),
        ({"result": [region(from_name="x")]}, "no usable control"),
        ({"result": [region(to_name="x")]}, "to_name"),
        ({"result": [region(type="taxonomy")]}, "type"),
        ({"result": [region(score=2)]}, "score 2"),
        ({"result": [region(value={})]}, "not a list of choices"),
        ({"result": [region(value={"choices": []})]}, "not a list of choices"),
        ({"result": [region(value={"choices": ["Cat"]})]}, "'Cat' is not among"),
        ({"result": [region(value={"choices": [["k"]]})]}, "not among"),
        ({"result": [region(value={"choices": ["k", "dog"]})]}, "2 choices where 1"),
        ({"result": [region(value={"choices": ["k", "k"]})]}, "twice"),
        ({"result": [region(), region()]}, "two regions"),
    ],
)
def test_the_checker_finds_each_fault(changes, words):
    faults = check_prediction(SINGLE, {}, {**empty_prediction("v"), "result": [region()], **changes})
    assert any(words in fault for fault in faults), faults


def test_the_checker_knows_paths_and_lists_of_the_task():
    def with_words(control, kind, words):
        return {**empty_prediction("v"), "result": [region(from_name=control, type=kind, value={kind: words})]}

    assert check_prediction(TREE, {}, with_words("t", "taxonomy", [["A", "B"]])) == []
    assert check_prediction(TREE, {}, with_words("t", "taxonomy", ["A/B"]))
    assert check_prediction(TREE, {}, with_words("t", "taxonomy", [["B"]]))
    listed = {"options": [{"value": "x"}]}
    assert check_prediction(LISTED, listed, with_words("c", "choices", ["x"])) == []
    assert check_prediction(LISTED, {}, with_words("c", "choices", ["x"]))
    assert check_prediction(LISTED, {}, "nonsense") == ["the prediction is not an object"]


def second_opinion(xml):
    """The SDK's reading of a config, None where it cannot read it."""
    from label_studio_sdk.label_interface import LabelInterface

    try:
        return LabelInterface(xml)
    except Exception:  # it raises whatever lxml and pydantic do
        return None


scores_of = st.one_of(st.floats(), st.floats(0, 1))
FORM_CONFIGS = [form.config(["cat", "dog", "a & b"]) for form in FORMS.values()]
SHARED = sorted((Path(__file__).resolve().parents[2].parent / "shared" / "label_studio" / "templates").glob("*.xml"))
SEEDS = FORM_CONFIGS + [path.read_text("utf-8") for path in SHARED]
texts = st.one_of(configs(), configs(), damaged(configs()), damaged(st.sampled_from(SEEDS)))


@given(texts, task_data, st.data(), st.floats(), words)
def test_no_config_and_no_task_yields_an_invalid_prediction(xml, data, drawn, priority, version):
    try:
        config = parse_config(xml)
    except DataError:
        return
    names = [*config.main.in_task(data).names, "cow", "car"]
    scores = drawn.draw(st.dictionaries(st.sampled_from(names), scores_of, max_size=6))
    made = prediction(config, data, scores, priority=priority, version=version)
    assert check_prediction(config, data, made) == []
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    control = config.main.in_task(data)
    entries = [entry for found in made["result"] for entry in found["value"][control.tag.lower()]]
    assert len(entries) <= (1 if control.single else len(control.values))
    interface = second_opinion(xml)
    # it takes what the config lists for all there is, and does not know nested lists of <Choices>
    mixed = config.main.options is not None and config.main.values
    if interface is not None and not mixed and not (control.nested and control.tag == "Choices"):
        assert interface.validate_prediction(made, return_errors=True) == []
