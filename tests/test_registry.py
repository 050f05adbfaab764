"""A plug-in's signature is its whole declaration."""

import subprocess
import sys

import pytest

from spml_annotate.errors import SettingError
from spml_annotate.registry import Registry


@pytest.fixture
def registry() -> Registry:
    made = Registry("loss", inputs=frozenset({"logits", "labels", "estimate"}))

    @made.register("plain", paper="x")
    def plain(
        logits, labels, estimate=None, *, rate: float = 0.5, steps: int = 3, hard: bool = False, how: str = "sum"
    ):
        """First sentence,
        on two lines.

        More.
        """
        return logits, labels, estimate, rate, steps, hard, how

    return made


def test_an_entry_is_read_from_the_signature(registry: Registry) -> None:
    entry = registry["plain"]
    assert entry.name == "plain"
    assert entry.inputs == ("logits", "labels", "estimate")
    assert entry.optional == {"estimate"}
    assert dict(entry.settings) == {"rate": 0.5, "steps": 3, "hard": False, "how": "sum"}
    assert dict(entry.facts) == {"paper": "x"}
    assert entry.summary == "First sentence, on two lines."
    assert entry.function(1, 2) == (1, 2, None, 0.5, 3, False, "sum")


def test_a_registry_lists_its_names_in_order(registry: Registry) -> None:
    registry.register("another")(lambda logits: logits)
    assert list(registry) == ["plain", "another"]
    assert len(registry) == 2
    assert "plain" in registry
    assert "other" not in registry


def test_the_order_does_not_depend_on_what_was_imported_first():
    look = "from {module} import *\nfrom spml_annotate.losses import LOSSES\nfrom spml_annotate.states import STATES\n"
    look += "print(*LOSSES, *STATES)"
    first = ("spml_annotate.losses", "spml_annotate.losses.dynamic", "spml_annotate.states.drawn")
    printed = [
        subprocess.run([sys.executable, "-c", look.format(module=module)], capture_output=True, text=True, check=True)
        for module in first
    ]
    assert len({run.stdout for run in printed}) == 1
    assert printed[0].stdout.startswith("bce bce-ls an ")


def test_unknown_names_are_refused_with_a_hint(registry: Registry) -> None:
    with pytest.raises(SettingError, match="there is no loss 'plian'; did you mean 'plain'"):
        registry["plian"]
    with pytest.raises(SettingError, match="there is no loss 'zzz'; choose from: plain"):
        registry["zzz"]
    with pytest.raises(SettingError, match="plain has no setting 'rte'; did you mean 'rate'"):
        registry["plain"].checked({"rte": 1})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, {}),
        ({"rate": "0.25"}, {"rate": 0.25}),
        ({"rate": 1}, {"rate": 1}),
        ({"steps": "7"}, {"steps": 7}),
        ({"steps": 7.0}, {"steps": 7}),
        ({"hard": "Yes"}, {"hard": True}),
        ({"hard": "off"}, {"hard": False}),
        ({"how": "mean"}, {"how": "mean"}),
    ],
)
def test_settings_take_the_type_of_their_default(registry: Registry, given: dict, meant: dict) -> None:
    checked = registry["plain"].checked(given)
    assert checked == {"rate": 0.5, "steps": 3, "hard": False, "how": "sum", **meant}
    assert {name: type(value) for name, value in checked.items() if name != "rate"} == {
        "steps": int,
        "hard": bool,
        "how": str,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"rate": "much"},
        {"rate": True},
        {"steps": "2.5"},
        {"steps": 2.5},
        {"steps": False},
        {"hard": "perhaps"},
        {"hard": 1},
    ],
    ids=str,
)
def test_settings_of_another_type_are_refused(registry: Registry, given: dict) -> None:
    with pytest.raises(SettingError, match=r"plain\.(rate|steps|hard)"):
        registry["plain"].checked(given)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda logits, teacher: 0, "'teacher' is not an input of a loss"),
        (lambda logits, *, rate: 0, "setting 'rate' needs a default"),
        (lambda *logits: 0, "hides what it takes"),
        (lambda logits, **settings: 0, "hides what it takes"),
    ],
)
def test_a_declaration_that_says_too_little_is_refused(registry: Registry, function, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        registry.register("new")(function)
    assert "new" not in registry


def test_a_name_is_given_once(registry: Registry) -> None:
    with pytest.raises(ValueError, match="'plain' is registered twice"):
        registry.register("plain")(lambda logits: logits)


def test_plugins_are_loaded_on_first_use_and_again_after_a_failure() -> None:
    calls = []

    def load() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ImportError("a module is broken")
        registry.register("one")(lambda anything: anything)

    registry: Registry = Registry("thing", load=load)
    assert calls == []
    with pytest.raises(ImportError):
        list(registry)
    assert list(registry) == ["one"]
    assert registry["one"].function(3) == 3
    assert len(calls) == 2
