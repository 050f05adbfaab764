"""Forms: how each kind of question looks in Label Studio, and what the answers to it mean.

A Label Studio project has one labelling config, so each kind of question has a project of its own. The configs lie in
``templates/label_studio/``; the classes of the project are filled in here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from spml_annotate.errors import DataError
from spml_annotate.labels import Answer
from spml_annotate.resources import resource
from spml_annotate.studio.annotations import Given
from spml_annotate.studio.choices import displayed
from spml_annotate.studio.config import LabellingConfig
from spml_annotate.studio.predictions import ticked

LABEL, ABSENT, UNSURE, COMPLETE, VERDICT = "label", "absent", "unsure", "complete", "verdict"
"""Names of the controls in our templates."""
_CLASSES = "<!-- classes -->"
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Answers = dict[str, Answer]
Extras = Callable[[Sequence[str], Sequence[str], Sequence[str]], dict[str, Any]]


@dataclass(frozen=True)
class Form:
    """How one kind of question is put.

    Args:
        kind: of the question, or "pick" for the project whose stream asks for the positives.
        title: for the project in Label Studio.
        extras: (asked, shown, negatives) → what the task data need besides the picture.
        meaning: (given, asked) → class name → answer, of an annotation that was not skipped.
        prefilled: whether proposals are ticked beforehand.
    """

    kind: str
    title: str
    extras: Extras
    meaning: Callable[[Given, Sequence[str]], Answers]
    prefilled: bool = False

    def config(self, names: Sequence[str]) -> str:
        """The labelling config for these classes.

        Raises:
            DataError: if there is no class, or one has a character that XML cannot hold.
        """
        if not names:
            raise DataError("labelling config: the project has no class; add classes first")
        template = resource(f"templates/label_studio/{self.kind}.xml").read_text("utf-8")
        lines = []
        for line in template.splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            lines.extend([indent + choice_element(name) for name in names] if line.strip() == _CLASSES else [line])
        return "\n".join(lines) + "\n"

    def task(
        self,
        image_url: str,
        image_id: str,
        question: str,
        asked: Sequence[str],
        shown: Sequence[str] = (),
        negatives: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The data of a task that puts a question about an image.

        Args:
            image_url: where Label Studio finds the picture; image_id: our name of it.
            question: id of the query, "" if there is none.
            asked: class names that are asked about.
            shown: those of them that are proposed (of a list: what is known already, to be named to the annotator).
            negatives: classes proposed as absent.
        """
        data = {"image": image_url, "spml_image": image_id, "spml_question": question}
        return {**data, **self.extras(asked, shown, negatives)}

    def prefill(
        self, config: LabellingConfig, data: Mapping[str, Any], shown: Sequence[str], version: str, priority: float
    ) -> dict[str, Any] | None:
        """The prediction that ticks the proposed classes; None for a form that is put blank."""
        return ticked(config, data, shown, priority=priority, version=version) if self.prefilled else None

    def answers(self, given: Given, asked: Sequence[str]) -> Answers:
        """What an annotation says about the classes that were asked: class name → answer; nothing said, no entry."""
        if given.skipped:
            return dict.fromkeys(asked, "skip")
        return self.meaning(given, asked)


def choice_element(name: str) -> str:
    """The <Choice> of a class, shown as the editor can show it.

    Raises:
        DataError: for a name with a character that XML cannot hold.
    """
    if _NOT_IN_XML.search(name):
        raise DataError(f"labelling config: class {name!r} has a character that XML cannot hold; rename the class")
    shown = displayed(name)
    alias = f" alias={quoteattr(name)}" if shown != name else ""
    return f"<Choice value={quoteattr(shown)}{alias}/>"


def _options(names: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"value": shown} if (shown := displayed(name)) == name else {"value": shown, "alias": name} for name in names
    ]


# pick: one positive, and proposed negatives to tick


def _pick_extras(asked: Sequence[str], shown: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    if not negatives:
        return {}
    return {"negatives": _options(negatives), "negatives_title": "Tick those of these that are NOT on the image"}


def _pick_meaning(given: Given, asked: Sequence[str]) -> Answers:
    positives = given.chosen.get(LABEL, ())
    absent: Answers = {name: "no" for name in given.chosen.get(ABSENT, ())}
    return _only(asked, {**absent, **{name: "yes" for name in positives}})


# verify: one class, yes, no or unsure


def _verify_extras(asked: Sequence[str], shown: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    return {"query": ", ".join(asked)}


def _verify_meaning(given: Given, asked: Sequence[str]) -> Answers:
    words: dict[str, Answer] = {"yes": "yes", "no": "no", "unsure": "unsure"}
    verdicts = [words[word] for word in given.chosen.get(VERDICT, ()) if word in words]
    return dict.fromkeys(asked, verdicts[0]) if len(verdicts) == 1 else {}


# page, exhaust: ticked is present, left out is absent


def _page_extras(asked: Sequence[str], shown: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    return {"options": _options(asked)}


def _no_extras(asked: Sequence[str], shown: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    return {}


def _page_meaning(given: Given, asked: Sequence[str]) -> Answers:
    # a word that no class is called any more may be the old name of a class that looks left out
    rest: Answers = {} if given.unknown else dict.fromkeys(asked, "no")
    return _only(asked, {**rest, **_ticks(given)})


# list: every further class, then whether that is all


def _list_extras(asked: Sequence[str], shown: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    return {"known": f"Already named: {', '.join(shown)}"} if shown else {}


def _list_meaning(given: Given, asked: Sequence[str]) -> Answers:
    rest: Answers = {}
    complete = given.chosen.get(COMPLETE, ())
    if complete == ("yes",) and not given.unknown:
        rest = dict.fromkeys(asked, "no")
    elif complete == ("cannot tell",):
        rest = dict.fromkeys(asked, "unsure")
    return _only(asked, {**rest, **_ticks(given)})


def _ticks(given: Given) -> Answers:
    yes: Answers = {name: "yes" for name in given.chosen.get(LABEL, ())}
    return {**yes, **{name: "unsure" for name in given.chosen.get(UNSURE, ())}}


def _only(asked: Sequence[str], answers: Answers) -> Answers:
    return {name: answers[name] for name in asked if name in answers}


FORMS: dict[str, Form] = {
    form.kind: form
    for form in (
        Form("pick", "Name one class", _pick_extras, _pick_meaning),
        Form("verify", "Is this class on the image?", _verify_extras, _verify_meaning),
        Form("page", "Correct a page of proposals", _page_extras, _page_meaning, prefilled=True),
        Form("list", "Name every further class", _list_extras, _list_meaning),
        Form("exhaust", "Check every class", _no_extras, _page_meaning, prefilled=True),
    )
}
"""Kind of question → its form."""
