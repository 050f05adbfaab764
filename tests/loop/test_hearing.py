"""What an annotation in somebody's own labelling config says about the classes of the project."""

import pytest

from spml_annotate.loop.hearing import Listener, main_answers
from spml_annotate.loop.links import MAIN, LinkStore, TaskRow
from spml_annotate.project import Project
from spml_annotate.studio.annotations import read_annotation
from spml_annotate.studio.config import parse_config

CLASSES = ["cat", "dog", "cow"]


def config(choice, extra=""):
    return parse_config(
        f'<View><Image name="pic" value="$image"/><Choices name="what" toName="pic" choice="{choice}">'
        '<Choice value="cat"/><Choice value="dog"/><Choice value="cow"/></Choices>' + extra + "</View>"
    )


def annotation(words, number=3, **more):
    value = {"from_name": "what", "to_name": "pic", "type": "choices", "value": {"choices": words}}
    return {"id": number, "task": 1, "completed_by": 7, "updated_at": "2026-01-01T00:00:00Z", "result": [value], **more}


@pytest.mark.parametrize(
    ("choice", "complete", "expected"),
    [
        ("single", False, {"dog": "yes"}),
        ("single", True, {"dog": "yes"}),
        ("multiple", False, {"dog": "yes"}),
        ("multiple", True, {"cat": "no", "dog": "yes", "cow": "no"}),
    ],
)
def test_what_is_left_out_means_nothing_unless_that_was_agreed(choice, complete, expected):
    read = config(choice)
    given = read_annotation(read, {}, annotation(["dog"]))
    assert main_answers(read, {}, given, CLASSES, complete) == expected


def test_a_skip_is_one_of_every_class_whatever_was_prefilled():
    read = config("single")
    given = read_annotation(read, {}, annotation(["dog"], was_cancelled=True))
    assert main_answers(read, {}, given, CLASSES, False) == dict.fromkeys(CLASSES, "skip")


@pytest.fixture
def listener_of(tmp_path):
    with Project.create(tmp_path, CLASSES) as project:
        links = LinkStore(tmp_path)
        link = links.add("http://ls", 1, "2026", MAIN, "<View/>")

        def make(users, **changes):
            return Listener(project, link._replace(**changes), config("multiple"), lambda: users)

        yield make
        links.close()


TASK = TaskRow(1, 0, "", {"image": "x"})


def test_annotators_are_named_by_mail_if_it_is_known(listener_of):
    def names(users):
        return [item.heard.annotator for item in listener_of(users).hear(TASK, [annotation(["cat"])])]

    assert names({7: "ann@example.com"}) == ["ls:ann@example.com"]
    assert names({}) == ["ls:user-7"]


def test_a_long_absence_is_cut_and_unknown_words_are_told_once(listener_of, caplog):
    listener = listener_of({})
    found = listener.hear(TASK, [annotation(["cat", "unicorn"], lead_time=4000.0), annotation(["unicorn"], 4)])
    assert [item.heard.seconds for item in found] == [60.0, 0.0]
    assert [dict(item.heard.words) for item in found] == [{0: "yes"}, {}]
    assert len([record for record in caplog.records if "unicorn" in record.message]) == 1


def test_what_is_no_annotation_is_reported_and_left_out(listener_of, caplog):
    found = listener_of({}).hear(TASK, ["junk", {"id": "x"}, annotation(["cat"])])
    assert len(found) == 1
    assert len(caplog.records) == 2
