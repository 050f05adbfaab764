"""Labelling configs: any names, aliases, single and multiple, nested, from the task; and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from strategies_configs import configs, damaged

from spml_annotate.errors import DataError
from spml_annotate.studio.config import parse_config

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "label_studio"
IMAGE = '<Image name="image" value="$image"/>'


def labelled(inside: str, **attributes: str) -> str:
    given = {"name": "label", "toName": "image", **attributes}
    text = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f"<View>{IMAGE}<Choices {text}>{inside}</Choices></View>"


def two(first: str, second: str) -> str:
    def one(attributes: str) -> str:
        return f'<Choices toName="image" {attributes}><Choice value="cat"/></Choices>'

    return f"<View>{IMAGE}{one(first)}{one(second)}</View>"


def test_names_of_controls_are_the_user_s():
    config = parse_config(
        '<View><Header value="hi"/><Image name="pic" value="$photo.url"/><Choices name="Ж 1" toName="pic" '
        'choice="multiple"><Choice value="cat"/><Choice value=" a &quot;q&quot; &amp; &lt;b&gt;"/></Choices></View>'
    )
    assert (config.image, config.key, config.main.name, config.main.to_name) == ("pic", "photo.url", "Ж 1", "pic")
    assert not config.main.single
    assert config.classes == ("cat", ' a "q" & <b>')
    assert config.reference({"photo": {"url": "/data/1.png"}}) == "/data/1.png"
    assert config.reference({"photo.url": "/data/2.png"}) == "/data/2.png"


@pytest.mark.parametrize(("choice", "single"), [("single", True), ("single-radio", True), ("multiple", False)])
def test_single_and_multiple(choice, single):
    assert parse_config(labelled('<Choice value="cat"/>', choice=choice)).main.single is single
    assert parse_config(labelled('<Choice value="cat"/>')).main.single is True


def test_an_alias_is_what_results_carry_and_the_value_is_the_class():
    main = parse_config(labelled('<Choice value="Cat" alias="c1"/><Choice value="Dog"/>')).main
    assert (main.values, main.names) == (("c1", "Dog"), ("Cat", "Dog"))
    assert main.name_of("c1") == "Cat"
    assert main.name_of("Cat") is None
    assert main.spelling_of("Cat") == "c1"
    assert main.spelling_of("cow") is None


def test_of_choices_that_cannot_be_told_apart_the_first_stays():
    inside = '<Choice value="a"/><Choice value="a"/><Choice value="b" alias="a"/><Choice value=""/><Choice value="  "/>'
    assert parse_config(labelled(inside)).classes == ("a",)


def test_two_that_look_alike_are_told_apart_by_their_aliases():
    main = parse_config(labelled('<Choice value="Cat" alias="c1"/><Choice value="Cat" alias="c2"/>')).main
    assert (main.values, main.names) == (("c1", "c2"), ("Cat", "c2"))


def test_names_of_another_model_lead_to_the_class():
    main = parse_config(labelled('<Choice value="Vehicle" alias="v" predicted_values="car, truck"/>')).main
    assert main.predicted == {"car": "Vehicle", "truck": "Vehicle"}
    assert main.spelling_of("truck") == "v"


def test_a_taxonomy_has_paths():
    config = parse_config(
        f'<View>{IMAGE}<Taxonomy name="t" toName="image" maxUsages="1"><Choice value="Animal" alias="an">'
        '<Choice value="Cat" alias="c"/></Choice><Choice value="Car"/></Taxonomy></View>'
    )
    main = config.main
    assert main.tag == "Taxonomy"
    assert main.single
    assert main.names == ("Animal", "Animal/Cat", "Car")
    assert main.values == ("an", "an/c", "Car")
    assert main.paths == (("an",), ("an", "c"), ("Car",))


def test_only_leaves_of_a_taxonomy_are_classes_if_the_config_says_so():
    config = parse_config(
        f'<View>{IMAGE}<Taxonomy name="t" toName="image" leafsOnly="true" maxUsages="3"><Choice value="A">'
        '<Choice value="B"/></Choice><Choice value="C"/></Taxonomy></View>'
    )
    assert config.classes == ("A/B", "C")
    assert (config.main.single, config.main.most) == (False, 3)


def test_choices_that_the_task_lists():
    config = parse_config(f'<View>{IMAGE}<Choices name="label" toName="image" value="$options"/></View>')
    assert (config.main.options, config.classes) == ("options", ())
    listed = config.main.in_task({"options": [{"value": "cat"}, {"value": "Dog", "alias": "d"}, "cow", {"value": 3}]})
    assert (listed.options, listed.names, listed.values) == (None, ("cat", "Dog"), ("cat", "d"))
    assert listed.in_task({}) is listed


@pytest.mark.parametrize(
    "data", [{}, {"options": "cat"}, {"options": None}, {"options": {"value": "cat"}}, None, [], 3]
)
def test_a_task_without_its_list_has_no_choices(data):
    config = parse_config(f'<View>{IMAGE}<Choices name="label" toName="image" value="$options"/></View>')
    assert config.main.in_task(data).values == ()


def test_what_the_config_and_the_task_list_add_up():
    main = parse_config(labelled('<Choice value="cat"/>', value="$options")).main
    assert main.in_task({"options": [{"value": "dog"}, {"value": "cat"}]}).names == ("cat", "dog")


def test_the_task_lists_a_tree():
    config = parse_config(f'<View>{IMAGE}<Taxonomy name="t" toName="image" value="$tree"/></View>')
    tree = [{"value": "A", "children": [{"value": "B"}]}]
    assert config.main.in_task({"tree": tree}).paths == (("A",), ("A", "B"))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ('name="absent" choice="multiple"', 'name="x"', "x"),
        ('name="x" perRegion="true"', 'name="y"', "y"),
        ('name="x" visibleWhen="choice-selected" whenTagName="y"', 'name="y"', "y"),
        ('name="x"', 'name="y"', "x"),
    ],
)
def test_the_main_control(first, second, expected):
    assert parse_config(two(first, second)).main.name == expected


def test_a_helper_s_name_is_fine_if_there_is_no_other():
    assert parse_config(labelled('<Choice value="cat"/>', name="absent")).main.name == "absent"


def test_the_main_control_may_be_named():
    config = parse_config(two('name="x"', 'name="y"'), control="y")
    assert [made.name for made in config.controls] == ["y", "x"]
    assert config.control("x") is not None
    assert config.control("z") is None
    with pytest.raises(DataError, match="'z'; there is 'x', 'y'"):
        parse_config(two('name="x"', 'name="y"'), control="z")


def test_choices_on_other_things_than_the_picture_are_not_used():
    xml = (
        f'<View><Text name="t" value="$t"/>{IMAGE}<Choices name="a" toName="t"><Choice value="x"/></Choices>'
        '<Choices name="b" toName="t,image"><Choice value="y"/></Choices></View>'
    )
    assert [made.name for made in parse_config(xml).controls] == ["b"]


def test_a_repeater_does_not_disturb():
    xml = (
        f'<View>{IMAGE}<Repeater on="$queries" indexFlag="{{{{idx}}}}"><Choices name="v_{{{{idx}}}}" toName="image">'
        '<Choice value="yes"/></Choices></Repeater><Choices name="label" toName="image"><Choice value="a"/></Choices>'
        "</View>"
    )
    assert [made.name for made in parse_config(xml).controls] == ["label"]


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("<View", "not well-formed"),
        ("\0", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "entities"),
        ("<!DOCTYPE View><View/>", "entities"),
        ("<a>" * 1000 + "</a>" * 1000, "deep"),
        ("<View>" + " " * 1_000_000 + "</View>", "characters"),
        ("<View/>", "no picture"),
        ('<View><Image name="i" valueList="$images"/></View>', "several pictures"),
        ('<View><Image name="i" value="https://x/$name.jpg"/></View>', "does not name one entry"),
        ('<View><Image name="i" value="$image-url"/></View>', "does not name one entry"),
        (f"<View>{IMAGE}</View>", "no <Choices>"),
        (labelled(""), "no <Choices>"),
        (labelled('<Choice value="a"/>', toName="elsewhere"), "no <Choices>"),
        (labelled('<Choice value="a"/>', perRegion="true"), "no <Choices>"),
        (f'<View>{IMAGE}<Taxonomy name="t" toName="image" apiUrl="/x"><Choice value="a"/></Taxonomy></View>', "no <Ch"),
        (labelled('<Choice value="a"/>', name="image"), "used twice"),
        (f'<View>{IMAGE}<A name="{"n" * 5000}"/><B name="{"n" * 5000}"/></View>', "used twice"),
        (f'<View><Image name="{"n" * 5000}" value="{"v" * 5000}"/></View>', "does not name one entry"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_line(xml, words):
    with pytest.raises(DataError, match=words) as caught:
        parse_config(xml)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_billion_laughs_are_not_laughed():
    entities = "".join(f'<!ENTITY a{i} "{"&a" + str(i - 1) + ";" if i else "ha"}&a{i - 1};">' for i in range(1, 30))
    with pytest.raises(DataError, match="entities"):
        parse_config(f"<!DOCTYPE v [{entities}]><View>&a29;</View>")


def test_long_names_above_many_choices_do_not_fill_the_memory():
    """Every class name would repeat all names above it: here 200,000 letters two thousand times."""
    top = "x" * 200_000
    leaves = "".join(f'<Choice value="{number}"/>' for number in range(2000))
    xml = f'<View>{IMAGE}<Taxonomy name="t" toName="image"><Choice value="{top}">{leaves}</Choice></Taxonomy></View>'
    with pytest.raises(DataError, match="too long"):
        parse_config(xml)
    dynamic = parse_config(f'<View>{IMAGE}<Taxonomy name="t" toName="image" value="$tree"/></View>')
    tree = [{"value": top, "children": [{"value": str(number)} for number in range(2000)]}]
    assert 1 <= len(dynamic.main.in_task({"tree": tree}).values) < 100


def test_an_index_of_thousands_of_digits_is_no_entry():
    config = parse_config(labelled('<Choice value="a"/>').replace("$image", f"$image[{'1' * 5000}]"))
    with pytest.raises(DataError, match="not the address"):
        config.reference({"image": ["x.png"]})


@pytest.mark.parametrize("data", [{}, None, {"image": None}, {"image": ["a.png"]}, {"image": ""}])
def test_a_task_without_a_picture(data):
    with pytest.raises(DataError, match="'image' is not the address of a picture"):
        parse_config(labelled('<Choice value="a"/>')).reference(data)


def read_or_refused(xml):
    """The config, None if it is refused as it should be."""
    try:
        return parse_config(xml)
    except DataError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return None


@given(configs())
def test_any_config_is_read_or_refused(xml):
    config = read_or_refused(xml)
    for control in config.controls if config else ():
        assert len(set(control.values)) == len(control.values) == len(control.names) == len(set(control.names))
        assert all(control.name_of(control.spelling_of(name)) == name for name in control.names)
        assert all(name.strip() for name in control.names)


@given(damaged(configs()))
def test_any_damaged_config_is_read_or_refused(xml):
    config = read_or_refused(xml)
    assert config is None or config.main.to_name == config.image


@pytest.mark.parametrize("name", sorted(path.name for path in SHARED.glob("templates/*.xml")) or [None])
def test_configs_that_the_real_server_accepted(name):
    if name is None:
        pytest.skip("../shared/label_studio/templates is not beside this checkout")
    xml = (SHARED / "templates" / name).read_text("utf-8")
    if "repeater" in name:  # has nothing but a Repeater
        with pytest.raises(DataError, match="no <Choices>"):
            parse_config(xml)
        return
    config = parse_config(xml)
    assert (config.image, config.key) == ("image", "image")
    assert config.main.options == "options" if "dynamic" in name else len(config.classes) in (3, 80)


def test_configs_as_the_real_server_sends_them():
    samples = sorted(SHARED.glob("samples/*.json"))
    if not samples:
        pytest.skip("../shared/label_studio/samples is not beside this checkout")
    seen = 0
    for path in samples:
        body = json.loads(path.read_text("utf-8")).get("body") or {}
        project = body.get("project")
        xml = body.get("schema") or body.get("label_config") or (project or {})
        xml = xml if isinstance(xml, str) else xml.get("label_config")
        if xml:
            seen += 1
            assert parse_config(xml).main.name == "label"
    assert seen >= 5
