"""Forms: the configs that are made for a project's classes, and what the answers mean."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_configs import NASTY, words

from spml_annotate.errors import DataError
from spml_annotate.studio.annotations import read_annotation
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import check_prediction

NAMES = ("cat", "dog", "cow")
names_lists = st.lists(words.filter(str.strip), min_size=1, max_size=8, unique=True).map(tuple)


def answers(kind, chosen, *, asked=NAMES, names=NAMES, skipped=False, **task):
    """What the form makes of an annotation with these words, read back through its own config and data."""
    form = FORMS[kind]
    config = parse_config(form.config(names))
    data = form.task("/data/1.png", "1.png", "q1", asked, **task)
    result = [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": list(entries)}}
        for name, entries in chosen.items()
    ]
    annotation = {"id": 1, "task": 2, "completed_by": 3, "was_cancelled": skipped, "result": result}
    return form.answers(read_annotation(config, data, annotation), asked)


def test_there_is_a_form_for_every_kind_of_question():
    from spml_annotate.acquire.kinds import KINDS

    assert set(FORMS) == set(KINDS)
    assert all(form.kind == kind for kind, form in FORMS.items())


@pytest.mark.parametrize("kind", FORMS)
def test_every_task_says_which_image_and_question_it_is(kind):
    data = FORMS[kind].task("http://x/1.png", "a/1.png", "q7", ["cat"], ["cat"], ["dog"])
    assert data["image"] == "http://x/1.png"
    assert data["spml_image"] == "a/1.png"
    assert data["spml_question"] == "q7"


@pytest.mark.parametrize("kind", FORMS)
def test_400_classes(kind):
    names = [f"class {i}" for i in range(400)]
    config = parse_config(FORMS[kind].config(names))
    if kind in ("pick", "list", "exhaust"):
        assert config.classes == tuple(names)


@given(names_lists)
def test_any_class_names_survive_the_config(names):
    for kind in ("pick", "list", "exhaust"):
        xml = FORMS[kind].config(names)
        ElementTree.fromstring(xml)
        assert parse_config(xml).classes == names


@given(names_lists, st.data())
def test_any_class_names_survive_a_page(names, drawn):
    shown = drawn.draw(st.lists(st.sampled_from(names), unique=True))
    form = FORMS["page"]
    config = parse_config(form.config(names))
    data = form.task("/1.png", "1", "q", names, shown)
    made = form.prefill(config, data, shown, "v1", 0.5)
    assert check_prediction(config, data, made) == []
    accepted = {"id": 1, "result": made["result"]}
    expected = {name: "yes" if name in shown else "no" for name in names}
    assert form.answers(read_annotation(config, data, accepted), names) == expected


@pytest.mark.parametrize("kind", FORMS)
def test_classes_that_cannot_be_written(kind):
    with pytest.raises(DataError, match="no class"):
        FORMS[kind].config([])
    if kind in ("pick", "list", "exhaust"):
        for name in ("\0", "a\x07b", "\ud800", "\ufffe"):
            with pytest.raises(DataError, match="XML cannot hold"):
                FORMS[kind].config([name])


def test_a_dollar_is_no_reference_and_is_answered_as_it_is():
    xml = FORMS["pick"].config(["$5 note", "US$"])
    assert '<Choice value="$\u200b5 note" alias="$5 note"/>' in xml
    assert '<Choice value="US$"/>' in xml
    assert answers("pick", {"label": ["$5 note"]}, names=("$5 note", "US$"), asked=("$5 note",)) == {"$5 note": "yes"}


@pytest.mark.parametrize("kind", FORMS)
def test_a_skipped_question_is_skipped_for_every_class(kind):
    assert answers(kind, {"label": ["cat"], "verdict": ["yes"]}, skipped=True) == dict.fromkeys(NAMES, "skip")


def test_pick():
    assert answers("pick", {"label": ["dog"]}) == {"dog": "yes"}
    assert answers("pick", {"label": ["dog"], "absent": ["cow"]}, negatives=["cow", "cat"]) == {
        "dog": "yes",
        "cow": "no",
    }
    assert answers("pick", {"label": ["dog"], "absent": ["dog"]}, negatives=["dog"]) == {"dog": "yes"}
    assert answers("pick", {"label": ["dog"], "absent": ["cow"]}) == {"dog": "yes"}  # the task proposed no negatives
    assert answers("pick", {}) == {}


@pytest.mark.parametrize("verdict", ["yes", "no", "unsure"])
def test_verify(verdict):
    assert answers("verify", {"verdict": [verdict]}, asked=["cow"]) == {"cow": verdict}


@pytest.mark.parametrize("verdicts", [[], ["perhaps"], ["yes", "no"]])
def test_verify_without_one_verdict_says_nothing(verdicts):
    assert answers("verify", {"verdict": verdicts}, asked=["cow"]) == {}


@pytest.mark.parametrize("kind", ["page", "exhaust"])
def test_what_is_left_out_is_absent(kind):
    assert answers(kind, {"label": ["cat"]}) == {"cat": "yes", "dog": "no", "cow": "no"}
    assert answers(kind, {}) == dict.fromkeys(NAMES, "no")
    assert answers(kind, {"label": ["cat", "dog"], "unsure": ["dog"]}) == {"cat": "yes", "dog": "unsure", "cow": "no"}


def test_only_what_was_asked_is_answered():
    assert answers("exhaust", {"label": ["cat", "cow"]}, asked=["cow", "dog"]) == {"cow": "yes", "dog": "no"}


@pytest.mark.parametrize(("kind", "more"), [("exhaust", {}), ("list", {"complete": ["yes"]})])
def test_a_class_may_not_look_left_out_because_it_was_renamed(kind, more):
    assert answers(kind, {"label": ["cat", "bull"], **more}) == {"cat": "yes"}


def test_list():
    assert answers("list", {"label": ["cat"], "complete": ["yes"]}) == {"cat": "yes", "dog": "no", "cow": "no"}
    expected = {"cat": "yes", "dog": "unsure", "cow": "unsure"}
    assert answers("list", {"label": ["cat"], "complete": ["cannot tell"]}) == expected
    assert answers("list", {"label": ["cat"]}) == {"cat": "yes"}
    assert answers("list", {"complete": ["yes"]}) == dict.fromkeys(NAMES, "no")


def test_a_list_names_what_is_known():
    form = FORMS["list"]
    assert form.task("/1.png", "1", "q", ["dog"], ["cat", "cow"])["known"] == "Already named: cat, cow"
    assert "known" not in form.task("/1.png", "1", "q", ["dog"])


@pytest.mark.parametrize("kind", FORMS)
def test_only_forms_that_are_corrected_are_filled_in(kind):
    form = FORMS[kind]
    config = parse_config(form.config(NAMES))
    data = form.task("/1.png", "1", "q", NAMES, ["cat"])
    made = form.prefill(config, data, ["cat", "bull"], "v1", 0.25)
    if kind not in ("page", "exhaust"):
        assert made is None
        return
    assert made["result"][0]["value"] == {"choices": ["cat"]}
    assert (made["score"], made["model_version"]) == (0.25, "v1")
    assert check_prediction(config, data, made) == []
    assert form.prefill(config, data, [], "v1", 0.25)["result"] == []


def test_the_names_of_the_strategies_are_as_nasty_as_they_look():
    assert parse_config(FORMS["pick"].config(NASTY)).classes == NASTY
