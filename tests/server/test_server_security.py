"""Who may ask, and what never reaches a log."""

import base64
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.server.naming import Named, folder_name, named, same_project, seconds_of, whole
from spml_annotate.server.security import SECRETS, HidingFormatter, access, basic_header, parse_object

BASIC = ("ann", "open: sésame")


def test_the_right_password_opens_and_nothing_else_does():
    assert access(None, None) == "granted"
    assert access(None, BASIC) == "missing"
    assert access(basic_header(BASIC), BASIC) == "granted"
    assert access(basic_header(BASIC).replace("Basic", "bAsIc"), BASIC) == "granted"
    for wrong in ("Basic", "Basic !!!", "Bearer x", basic_header(("ann", "open: sesame")), basic_header(("", ""))):
        assert access(wrong, BASIC) == "wrong"


@given(st.text(max_size=60))
def test_no_text_but_the_right_one_opens(text):
    assert access(text or None, BASIC) in ("missing", "wrong")
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    assert access(f"Basic {encoded}", BASIC) == ("granted" if text == ":".join(BASIC) else "wrong")


def test_secrets_are_hidden_in_messages_arguments_and_tracebacks():
    SECRETS.add("very-secret-token", "another", "")
    formatter = HidingFormatter(logging.Formatter("%(message)s"))
    try:
        raise ValueError("it was very-secret-token")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "said %s", ("another",), told)
    text = formatter.format(record)
    assert "said ***" in text
    assert "ValueError: it was ***" in text
    assert "very-secret-token" not in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("15.1795220470", Named(15, "1795220470")),
        ("15", Named(15, "")),
        (15, Named(15, "")),
        ({"id": 15, "created_at": "2026-11-21T00:21:10.688525Z"}, Named(15, "1795220470")),
        ({"id": 15}, Named(15, "")),
        ({"id": True}, None),
        ({}, None),
        ("", None),
        ("1.2.3", None),
        ("9" * 400, None),
        (-1, None),
        (2**70, None),
        (1.5, None),
        (None, None),
        ([1], None),
    ],
)
def test_a_project_is_named_in_three_ways(value, expected):
    assert named(value) == expected


def test_equal_ids_of_different_projects_are_told_apart():
    assert same_project(Named(7, "1795220470"), 7, "2026-11-21T00:21:10.688525Z")
    assert same_project(Named(7, ""), 7, "2026-11-21T00:21:10.688525Z")
    assert not same_project(Named(7, "1795220471"), 7, "2026-11-21T00:21:10.688525Z")
    assert not same_project(Named(8, "1795220470"), 7, "1795220470")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_names_of_any_value_are_harmless(value):
    found = named(value)
    assert found is None or (whole(found.project) is not None and (found.created.isdigit() or not found.created))
    assert seconds_of(value).isdigit() or seconds_of(value) == ""


@given(st.text(max_size=100))
def test_folder_names_stay_below_their_folder(host):
    name = folder_name(host, Named(7, "1795220470"))
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith(".")
    assert name.endswith("7-1795220470")
    assert name.isascii()


def test_bodies_that_are_no_objects_are_refused_in_words():
    assert parse_object(b'{"a": 1}') == {"a": 1}
    for body in (b"", b"[" * 100_000, b"1" * 10_000, b"\xff\xfe", b"{", b"[]", b"null"):
        with pytest.raises(Exception, match=r"the body (is not JSON|must be a JSON object)"):
            parse_object(body)
