"""What the catalogue says of every loss is what its registration, docstring and state say."""

import re

import pytest
import torch

from spml_annotate.errors import SettingError
from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import INPUT_WORDS, INPUTS, LOSSES, LossRegistry
from spml_annotate.losses.records import absent_method, absent_methods
from spml_annotate.states import STATES
from spml_annotate.training.catalogue import FAMILIES, card, cards, users, value_in_words
from spml_annotate.training.docstrings import details, sections
from spml_annotate.training.footprint import measured
from spml_annotate.training.inputs import resolve


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_card_is_complete(name):
    found = card(name)
    assert found.family in FAMILIES
    assert found.summary.endswith(".")
    assert found.title
    assert found.authors
    assert found.link.startswith("https://")
    assert 2015 <= found.year <= 2030
    assert found.certainty[0] in "ABC"
    assert found.label_kinds
    assert all(found.inputs.values())
    assert found.repository or found.certainty[0] == "C"
    for setting in found.settings:
        assert setting.meaning, f"{name}.{setting.name} is not described in its docstring"


@pytest.mark.parametrize("name", list(LOSSES))
def test_what_authors_set_are_settings_of_ours(name):
    facts, settings = LOSSES[name].facts, {setting.name for setting in card(name).settings}
    assert {*facts["code_defaults"], *facts["paper_defaults"]} <= settings


@pytest.mark.parametrize("name", list(LOSSES))
def test_where_there_is_one_value_of_the_authors_code_it_is_of_our_type(name):
    method = resolve(name)
    ours = {**method.state_settings, **method.settings}
    for setting, value in LOSSES[name].facts["code_defaults"].items():
        for one in value.values() if isinstance(value, dict) else (value,):
            if not isinstance(one, str):
                assert isinstance(one, type(ours[setting])), (name, setting)


def test_a_loss_of_which_little_was_said_has_a_card(monkeypatch):
    def bare(logits, labels, *, weight: float = 0.5):
        """A loss."""

    registry = LossRegistry("loss", inputs=INPUTS)
    registry.register("bare", paper="arXiv:0000.00000", family="own")(bare)
    monkeypatch.setitem(LOSSES._entries, "bare", registry["bare"])
    found = card("bare")
    assert (found.title, found.source, found.certainty) == ("arXiv:0000.00000", "", "")
    assert [setting.name for setting in found.settings] == ["weight"]


def test_what_stored_features_cannot_give_is_said():
    lac = card("lac")
    assert not lac.trainable
    assert INPUT_WORDS["strong"] in lac.needs
    assert lac.training.startswith("not on stored features: it needs a strongly augmented view")
    assert card("en").trainable
    assert card("en").needs == "state ema"
    assert card("iun").needs == "all true negatives (a reference)"


def test_defaults_of_the_authors_stand_beside_ours():
    smoothing = next(setting for setting in card("an-ls").settings if setting.name == "smoothing")
    assert (smoothing.ours, smoothing.code) == (0.1, 0.1)
    assert smoothing.paper.startswith("0.05")
    focus = next(setting for setting in card("asl").settings if setting.name == "positive_focus")
    assert value_in_words(focus.code) == "1 (the classes); 0 (train.py, SPLC's code)"
    warm_up = next(setting for setting in card("em-apl").settings if setting.name == "warm_up")
    assert warm_up.of_state
    assert warm_up.meaning == "T_w, epochs before the first choice"


def test_comparisons_are_told():
    assert "reference values of released code" in card("splc").golden
    assert "evaluations of the printed equations" in card("crisp").golden


def test_every_state_has_a_user():
    for name in STATES:
        assert users(name)


def saved(name, images, classes, folder):
    """Bytes of the file of a state, and of what it trains."""
    labels = torch.full((1, images, classes), UNKNOWN, dtype=torch.int8)
    labels[0, :, 0] = 1
    features = {"features": torch.randn((images, 8), generator=torch.Generator().manual_seed(1))}
    entry = STATES[name]
    state = entry.function(labels, seeds=[0], **(features if "features" in entry.inputs else {}))
    state.save(folder / "state")
    return (folder / "state").stat().st_size, sum(p.numel() * p.element_size() for p in state.parameters())


@pytest.mark.parametrize("name", list(STATES))
def test_memory_is_what_a_large_state_saves(name, tmp_path):
    memory = measured(name)
    kept, trained = saved(name, 700, 40, tmp_path)
    if memory.cell:
        assert memory.total(700, 40) == pytest.approx(kept + 2 * trained, abs=2000)
    else:  # nothing that grows with the images
        assert STATES[name].facts["also_keeps"]
        assert memory.total(700, 40) == 0
        assert saved(name, 1400, 40, tmp_path) == pytest.approx((kept, trained), abs=8)


def test_a_docstring_is_read_in_parts():
    def example(logits, labels, *, one: float = 1.0, two: float = 2.0, three: float = 3.0):
        """A summary.

        The formula: one line
        and another. [*H, B, L].

        Settings:
            one, two: shared: with a colon
                and a second line. three: of its own,
                too.

        Raises:
            ValueError: never.
        """

    assert details(example) == "The formula: one line and another. [*H, B, L]."
    assert sections(example)["Settings"] == {
        "one": "shared: with a colon and a second line",
        "two": "shared: with a colon and a second line",
        "three": "of its own, too",
    }


def test_absent_methods_are_absent_and_point_to_losses_that_are_here():
    names = [name for found in absent_methods() for name in (found.name, *found.also)]
    assert len({re.sub(r"\W", "", name.lower()) for name in names}) == len(names)
    for found in absent_methods():
        assert found.name.lower() not in LOSSES, "it is here now: take it out of absent.toml"
        assert found.link.startswith("https://")
        assert found.reason
        assert not found.loss or found.loss in LOSSES
    assert absent_method("hyperspherical learning").name == "HML"
    assert absent_method("g2net-pl").name == "G2NetPL"
    assert absent_method("an") is None


def test_asking_for_an_absent_method_says_why():
    with pytest.raises(SettingError, match=r"there is no loss 'hml': no public specification"):
        LOSSES["hml"]
    with pytest.raises(SettingError, match=r"its loss is splc; choose from"):
        resolve("HSPNet")


def test_cards_come_in_the_order_of_the_registry():
    assert [found.name for found in cards()] == list(LOSSES)
