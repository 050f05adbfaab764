"""Progress bars: the items come through unchanged, and nothing is drawn where nobody looks."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
import tqdm.std

from spml_annotate.progress import progress, set_quiet


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO, step: float) -> str:
    """What is drawn on a screen while five items take ``step`` seconds each, on a clock of our own."""
    now = [0.0]
    monkeypatch.setattr(sys, "stderr", screen)  # here, not in a fixture: pytest puts its own back after each set-up
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    seen = []
    for item in progress(range(5), what="counting"):
        now[0] += step
        seen.append(item)
    assert seen == [0, 1, 2, 3, 4]
    return screen.getvalue()


def test_items_come_through_lazily() -> None:
    taken = []
    items = progress((taken.append(number) or number for number in range(3)), total=3, what="counting")
    assert taken == []
    assert next(items) == 0
    assert taken == [0]
    assert list(items) == [1, 2]


def test_a_bar_is_drawn_for_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn(monkeypatch, Terminal(), step=3.0)
    assert "counting" in picture
    assert "4/5" in picture


def test_nothing_is_drawn_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "counting" not in drawn(monkeypatch, Terminal(), step=0.3)


def test_nothing_is_drawn_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, io.StringIO(), step=3.0) == ""


def test_a_notebook_library_does_not_make_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    library = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", library)
    monkeypatch.setattr(library, "get_ipython", lambda: None, raising=False)
    assert drawn(monkeypatch, io.StringIO(), step=3.0) == ""
    monkeypatch.setattr(library, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    assert "counting" in drawn(monkeypatch, io.StringIO(), step=3.0)


def test_nothing_is_drawn_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    set_quiet(True)
    try:
        assert drawn(monkeypatch, Terminal(), step=3.0) == ""
    finally:
        set_quiet(False)
