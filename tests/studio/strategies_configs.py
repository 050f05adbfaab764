"""Hypothesis strategies: labelling configs as users write them, damaged ones, and tasks that fit or do not."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

NASTY = (
    "cat",
    "dog",
    'a "q" & <b>',
    " led",
    "trail ",
    "naïve\u0301",
    "🐈‍⬛",
    "a/b",
    "true",
    "nan",
    "$5 note",
    "US$",
    "line\nbreak",
    'name="label"',
)
letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
words = st.one_of(st.sampled_from(NASTY), st.text(letters, min_size=1, max_size=6))
tag_names = st.one_of(
    st.sampled_from(["label", "absent", "complete", "lbl 2", "ctrl-x", "Ж", "a&b", "choices"]),
    st.text(
        st.characters(codec="ascii", exclude_categories=("Cc",), exclude_characters=",{}\"'"), min_size=1, max_size=5
    ),
).filter(lambda name: name.strip() and name not in ("image", "filter", "head"))
keys = st.sampled_from(["options", "choices", "a.b", "list[0]"])


def attribute(name: str, value: str | None) -> str:
    return "" if value is None else f" {name}={quoteattr(value)}"


@st.composite
def choice_elements(draw: st.DrawFn, depth: int = 0) -> str:
    alias = draw(st.one_of(st.none(), st.none(), words))
    predicted = draw(st.sampled_from([None, None, "car, truck", "car", ",, "]))
    inside = "".join(draw(st.lists(choice_elements(depth - 1), max_size=3))) if depth > 0 else ""
    attributes = attribute("value", draw(words)) + attribute("alias", alias) + attribute("predicted_values", predicted)
    return f"<Choice{attributes}>{inside}</Choice>" if inside else f"<Choice{attributes}/>"


@st.composite
def controls(draw: st.DrawFn, name: str) -> str:
    to_name = draw(st.sampled_from(["image", "image", "image", "head", "head,image", "nowhere"]))
    region = draw(st.sampled_from([None, None, None, "true"]))
    dynamic = "$" + draw(keys) if draw(st.booleans()) else None
    if draw(st.booleans()):
        kind, nested = "Taxonomy", 2
        extra = attribute("maxUsages", draw(st.sampled_from([None, "1", "2", "x"])))
        extra += attribute("leafsOnly", draw(st.sampled_from([None, "true"])))
    else:
        kind, nested = "Choices", draw(st.sampled_from([0, 0, 1]))
        extra = attribute("choice", draw(st.sampled_from([None, "single", "single-radio", "multiple"])))
    inside = "".join(draw(st.lists(choice_elements(nested), max_size=5)))
    if draw(st.booleans()) and kind == "Choices":
        inside = f"<View>{inside}</View>"
    given = attribute("name", name) + attribute("toName", to_name) + attribute("perRegion", region)
    return f"<{kind}{given}{extra}{attribute('value', dynamic)}>{inside}</{kind}>"


WRAPPERS = ("{}", '<View style="display:none">{}</View>', '<View visibleWhen="choice-selected">{}</View>')
REPEATER = (
    '<Repeater on="$queries" indexFlag="{{idx}}"><Choices name="v_{{idx}}" toName="image">'
    '<Choice value="yes"/></Choices></Repeater>'
)


@st.composite
def configs(draw: st.DrawFn) -> str:
    """Well-formed configs with unusual names, nesting, aliases, lists in the task."""
    picture = draw(st.sampled_from(["image", "pic.url"]))
    parts = ['<Header name="head" value="What is it?"/>', f'<Image name="image" value="${picture}"/>']
    names = draw(st.lists(tag_names, min_size=1, max_size=3, unique=True))
    parts.extend(draw(st.sampled_from(WRAPPERS)).replace("{}", draw(controls(name))) for name in names)
    if draw(st.integers(0, 4)) == 0:
        parts.append(REPEATER)
    return "<View>" + "".join(draw(st.permutations(parts))) + "</View>"


SNIPPETS = (
    *("<View>", "</View>", '"', "&amp;", "&x;", "<!--", "]]>", "<![CDATA[", "\0", "value", "$", "Choice", " "),
    *("<?xml version='1.0' encoding='x'?>", "<!DOCTYPE a>"),
)


@st.composite
def damaged(draw: st.DrawFn, text: st.SearchStrategy[str]) -> str:
    """A config with pieces cut out, doubled, replaced."""
    xml = draw(text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(xml)))
        end = min(len(xml), at + draw(st.integers(0, 30)))
        piece = draw(st.one_of(st.just(""), st.just(xml[at:end] * 2), st.sampled_from(SNIPPETS), st.text(max_size=3)))
        xml = xml[:at] + piece + xml[end:]
    return xml


option_keys = st.sampled_from(["value", "alias", "children", "b", "x"])
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(option_keys, inner, max_size=3)),
    max_leaves=6,
)
plain = st.fixed_dictionaries({"value": words})
options = st.lists(
    st.one_of(
        junk,
        plain,
        st.fixed_dictionaries({"value": words, "alias": words}),
        st.fixed_dictionaries({"value": words, "children": st.lists(plain, max_size=2)}),
    ),
    max_size=5,
)
entries = st.one_of(options, options, junk)
fitting = {
    "image": words,
    "options": entries,
    "choices": entries,
    "a": st.fixed_dictionaries({"b": entries}),
    "list": st.lists(entries, max_size=2),
}
task_data = st.one_of(
    st.fixed_dictionaries(fitting),
    st.dictionaries(st.sampled_from([*fitting, "a.b"]), junk, max_size=4),
    junk,
)
