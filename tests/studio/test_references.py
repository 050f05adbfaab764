"""Addresses of pictures: which are public, and the names that pictures keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.studio.download import is_public
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("10.0.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False), ("0.0.0.0", False),
        ("100.64.0.1", False), ("224.0.0.1", False), ("::1", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("2001:4860:4860::8888", True), ("::ffff:10.0.0.1", False), ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("fec0::1", False), ("64:ff9b:1::7f00:1", False), ("::127.0.0.1", False), ("::ffff:0:7f00:1", False),
    ],
)  # fmt: skip
def test_public_addresses(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("/data/upload/3/1a2b3c4d-cat%20one.png", "upload/3/1a2b3c4d-cat one.png"),
        ("http://studio:8080/data/upload/3/cat.png", "upload/3/cat.png"),
        ("http://label.example.com/data/local-files/?d=birds/1.jpg", "local-files/birds/1.jpg"),
        ("https://images.example.com/a/b.png", "images.example.com/a/b.png"),
        ("gs://bucket/a.png", "gs/bucket/a.png"),
    ],
)
def test_names_are_readable(reference, name):
    fetcher = ImageFetcher(StudioSettings(url="http://studio:8080"), None, "http://label.example.com")
    assert fetcher.name(reference) == name


def test_names_tell_apart_and_last():
    name = ImageFetcher(StudioSettings(url="http://studio"), None).name
    signed = "https://b.s3.amazonaws.com/x.png?id=1&X-Amz-Signature={}&X-Amz-Date={}"
    assert name(signed.format("a", "1")) == name(signed.format("b", "2"))
    assert name("http://h/x?id=1") != name("http://h/x?id=2")
    assert name("/a/../b.png") != name("/a/_/b.png")
    assert name("http://h/" + "x" * 500) != name("http://h/" + "x" * 499 + "y")


@given(st.text())
def test_any_text_has_a_harmless_name(text):
    name = ImageFetcher(StudioSettings(url="http://studio"), None).name(text)
    assert 0 < len(name) <= 160
    assert not any(part in {"", ".", ".."} for part in name.split("/"))
    assert not any(ord(character) < 32 or character == "\\" for character in name)
    name.encode()
