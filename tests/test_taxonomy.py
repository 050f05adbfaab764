"""Class names, their order, aliases and renames."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.taxonomy import Taxonomy, lookalikes

names = st.lists(st.text(min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=6, unique=True)


@given(names)
def test_columns_are_in_the_order_of_the_names(classes: list[str]) -> None:
    taxonomy = Taxonomy(tuple(classes))
    assert len(taxonomy) == len(classes)
    assert [taxonomy.column(name) for name in classes] == list(range(len(classes)))


@given(names, names)
def test_appending_classes_keeps_the_fingerprint_of_the_prefix(first: list[str], second: list[str]) -> None:
    taxonomy = Taxonomy(tuple(first))
    new = [name for name in second if name not in first]
    longer = taxonomy.extended(new)
    assert longer.names == (*first, *new)
    assert longer.fingerprint(len(first)) == taxonomy.fingerprint()
    assert (longer.fingerprint() == taxonomy.fingerprint()) is (not new)
    longer.check_prefix(taxonomy.fingerprint(), len(first), "a model")


def test_a_class_is_in_it_by_any_of_its_names_in_either_unicode_form() -> None:
    taxonomy = Taxonomy(("caf\u00e9", "dog"), aliases={"hound": "dog"})
    assert all(name in taxonomy for name in ("caf\u00e9", "cafe\u0301", "dog", "hound"))
    assert not any(name in taxonomy for name in ("cafe", "Dog", "", 1, None))


def test_a_rename_keeps_column_fingerprint_and_the_old_name() -> None:
    taxonomy = Taxonomy(("sofa", "cat"), aliases={"settee": "sofa"}, prompts={"sofa": "a photo of a sofa"})
    renamed = taxonomy.renamed("settee", "couch").renamed("couch", "divan")
    assert renamed.names == ("divan", "cat")
    assert renamed.keys == ("sofa", "cat")
    assert {renamed.column(name) for name in ("sofa", "settee", "couch", "divan")} == {0}
    assert renamed.fingerprint() == taxonomy.fingerprint()
    assert renamed.prompts == taxonomy.prompts
    assert renamed.renamed("divan", "sofa").names == taxonomy.names
    with pytest.raises(DataError, match="cannot rename 'cat': 'sofa' is another class"):
        renamed.renamed("cat", "sofa")


def test_a_new_class_may_not_take_a_name_that_already_means_one() -> None:
    taxonomy = Taxonomy(("sofa", "cat"), aliases={"kitty": "cat"}).renamed("sofa", "couch")
    for name in ("couch", "sofa", "kitty"):
        with pytest.raises(DataError, match=f"cannot add class '{name}'"):
            taxonomy.extended([name])
    with pytest.raises(DataError, match="appears twice"):
        taxonomy.extended(["dog", "dog"])


def test_order_and_names_are_part_of_the_fingerprint() -> None:
    fingerprints = {
        Taxonomy(classes).fingerprint() for classes in (("a", "b"), ("b", "a"), ("ab",), ("a",), ("a", "c"))
    }
    assert len(fingerprints) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ("cat", "cat")}, "'cat' appears twice"),
        ({"names": ("cat", "")}, "is empty"),
        ({"names": ("cat", " ")}, "is empty"),
        ({"names": ("cat", "dog"), "keys": ("cat",)}, "2 names but 1 keys"),
        ({"names": ("cat", "dog"), "keys": ("x", "x")}, "class 'x' appears twice"),
        ({"names": ("cat",), "aliases": {"kitty": "kat"}}, "alias 'kitty' points to the unknown class 'kat'"),
    ],
)
def test_a_wrong_class_list_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Taxonomy(**arguments)


def test_an_unknown_class_is_named_with_the_nearest() -> None:
    taxonomy = Taxonomy(("zebra", "crossing"))
    with pytest.raises(DataError, match="no class 'zebar'; did you mean 'zebra'"):
        taxonomy.column("zebar")
    with pytest.raises(DataError, match="no class 'unlike'; there are 2 classes"):
        taxonomy.column("unlike")


def test_things_made_for_other_classes_are_refused() -> None:
    made_for = Taxonomy(("a", "b"))
    for other in (Taxonomy(("b", "a")), Taxonomy(("a",)), Taxonomy(("a", "c"))):
        with pytest.raises(MismatchError, match="the model was made for other classes"):
            other.check_prefix(made_for.fingerprint(), 2, "the model")


def test_a_taxonomy_is_a_value() -> None:
    aliases = {"kitty": "cat"}
    taxonomy = Taxonomy(("cat", "dog"), aliases=aliases, prompts={"cat": "a cat"})
    aliases["pup"] = "dog"
    assert dict(taxonomy.aliases) == {"kitty": "cat"}
    assert taxonomy.column("kitty") == 0
    for twin in (copy.deepcopy(taxonomy), pickle.loads(pickle.dumps(taxonomy))):
        assert twin == taxonomy
        assert twin.column("kitty") == 0
    with pytest.raises(AttributeError):
        taxonomy.names = ()
    with pytest.raises(TypeError):
        taxonomy.aliases["pup"] = "dog"


def test_both_unicode_forms_of_a_name_mean_the_class():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name, other in ((composed, decomposed), (decomposed, composed)):
        taxonomy = Taxonomy(("tea", name))
        assert taxonomy.column(other) == taxonomy.column(name) == 1
        with pytest.raises(DataError, match="already means"):
            taxonomy.extended([other])
    both = Taxonomy((composed, decomposed))
    assert [both.column(composed), both.column(decomposed)] == [0, 1]


def test_names_that_look_alike_are_told():
    assert lookalikes(["cat", "dog", "Cat", "polar bear", "polar  bear"]) == [
        ("cat", "Cat"),
        ("polar bear", "polar  bear"),
    ]
    assert lookalikes(["caf\u00e9", "cafe\u0301"]) == [("caf\u00e9", "cafe\u0301")]
    assert lookalikes(["cat", "cats"]) == []
