"""Files that ship with the package are found from a wheel and from a checkout."""

from pathlib import Path

import pytest

from spml_annotate import resources
from spml_annotate.errors import DataError


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of the module where an installed package (or a checkout) would have it."""
    package = tmp_path / "spml_annotate"
    package.mkdir()
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    return tmp_path


@pytest.mark.parametrize("place", ["spml_annotate/templates", "templates"], ids=["wheel", "checkout"])
def test_a_resource_is_found_in_either_place(layout: Path, place: str) -> None:
    (layout / place).mkdir()
    (layout / place / "report.html").write_text("x")
    assert resources.resource("templates/report.html") == layout / place / "report.html"
    assert resources.resource("templates") == layout / place


def test_the_packages_own_copy_comes_first(layout: Path) -> None:
    for place in ("spml_annotate/templates", "templates"):
        (layout / place).mkdir()
    assert resources.resource("templates") == layout / "spml_annotate" / "templates"


def test_a_missing_resource_is_named() -> None:
    with pytest.raises(DataError, match=r"lacks 'templates/nothing\.xyz'; reinstall"):
        resources.resource("templates/nothing.xyz")
