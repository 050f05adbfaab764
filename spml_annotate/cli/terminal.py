"""Answering questions in the terminal: one prompt at a time, every answer stored at once."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import click

from spml_annotate.labels import Answer
from spml_annotate.project.answering import LONGEST, record
from spml_annotate.project.asking import OpenQuestion, asks, open_questions, positives_known, ticked
from spml_annotate.workspace import Workspace

KEYS: dict[str, Answer] = {"y": "yes", "n": "no", "u": "unsure", "s": "skip"}
REST = ("u", "s")
COLUMNS = 4


class Stop(Exception):  # noqa: N818  (a wish, not an error)
    """The person wants to stop."""


class Back(Exception):  # noqa: N818  (a wish, not an error)
    """The person wants to answer the last question again."""


def read_line(prompt: str) -> str:
    """A line from the terminal without its end.

    Raises:
        Stop: at the end of the input.
    """
    click.echo(prompt, nl=False)
    line = sys.stdin.readline()
    if not line:
        click.echo()
        raise Stop
    return line.strip()


class Session:
    """A sitting of one annotator.

    Args:
        workspace: the project.
        annotator: who answers.
        read: gives the answer to a prompt; raises `Stop` when there are no more.
        clock: seconds that run evenly.
    """

    def __init__(
        self,
        workspace: Workspace,
        annotator: str,
        *,
        read: Callable[[str], str] = read_line,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._annotator = workspace, annotator
        self._read, self._clock = read, clock
        self._seconds = 0.0
        self._stored = 0

    def run(self, limit: int | None = None) -> tuple[int, int]:
        """Go through the open questions; returns how many were answered, and how many answers were stored."""
        waiting = open_questions(self._workspace, self._annotator)[:limit]
        if not waiting:
            click.echo("no question is open; put some with `spml-annotate ask`")
        place = 0
        while place < len(waiting):
            question = waiting[place]
            self._show(question, place + 1, len(waiting))
            try:
                self._answer(question)
            except Stop:
                break
            except Back:
                place = self._back(waiting, place)
                continue
            place += 1
        return place, self._stored

    def _back(self, waiting: Sequence[OpenQuestion], place: int) -> int:
        """Take back what was said to this question or, if that is nothing, to the one before; returns its place."""
        if self._take_back(waiting[place]):
            return place
        if place == 0:
            click.echo("this is the first question; `spml-annotate undo` takes back answers of an earlier sitting")
            return 0
        self._take_back(waiting[place - 1])
        return place - 1

    def _take_back(self, question: OpenQuestion) -> int:
        log = self._workspace.log
        taken = [
            said
            for said in log.retractions(question.query.id, time=time.time())
            if said.annotator == self._annotator and said.label in question.remaining
        ]
        count = log.append(taken)
        self._stored -= count
        return count

    def _show(self, question: OpenQuestion, number: int, count: int) -> None:
        row, names = question.query.row, self._workspace.taxonomy.names
        click.echo(f"\n{number} of {count}  {self._workspace.image_path(row)}")
        known = positives_known(self._workspace, row)
        if known:
            click.echo("known to be there: " + ", ".join(names[label] for label in known))
        click.echo(asks(question.query.kind))

    def _answer(self, question: OpenQuestion) -> None:
        kind = question.query.kind
        if kind == "verify":
            self._verify(question)
        elif kind == "page" or question.query.shown:
            self._page(question)
        else:
            self._name(question)

    def _prompt(self, text: str) -> str:
        """The answer; the seconds until it came, gaps cut, are added up for the next `_store`."""
        start = self._clock()
        said = self._read(text)
        self._seconds += min(max(self._clock() - start, 0.0), LONGEST)
        return said

    def _store(self, question: OpenQuestion, said: dict[int, Answer]) -> None:
        seconds, self._seconds = self._seconds, 0.0
        self._stored += record(self._workspace, question, said, annotator=self._annotator, seconds=seconds)

    def _leave(self, entry: str) -> None:
        """Stop or go back, if that is what was typed."""
        if entry.lower() == "q":
            raise Stop
        if entry.lower() == "b":
            raise Back

    def _verify(self, question: OpenQuestion) -> None:
        for label in question.remaining:
            while True:
                entry = self._prompt(f"{self._workspace.taxonomy.names[label]}? [y/n/u/s, b = back, q = stop] ").lower()
                self._leave(entry)
                if entry in KEYS:
                    break
                click.echo("y yes, n no, u cannot tell, s skip, b back, q stop")
            self._store(question, {label: KEYS[entry]})

    def _page(self, question: OpenQuestion) -> None:
        """Toggle what is wrong, then accept."""
        ticks = set(ticked(self._workspace, question))
        while True:
            self._list(question.remaining, ticks)
            entry = self._prompt("toggle a class by number or name; empty = right, u/s, b = back, q = stop: ")
            label = self._find(entry, question.remaining)
            if label is not None:
                ticks ^= {label}
                continue
            self._leave(entry)
            if entry == "?":
                continue
            if entry.lower() in REST:
                self._store(question, dict.fromkeys(question.remaining, KEYS[entry.lower()]))
                return
            if not entry:
                self._store(question, {label: "yes" if label in ticks else "no" for label in question.remaining})
                return
            self._hint(entry, question.remaining)

    def _name(self, question: OpenQuestion) -> None:
        """Name what is there, class by class; each is stored as it is named."""
        left, single = list(question.remaining), question.query.kind == "pick"
        empty = "none of them to be seen" if single else "no more"
        if len(left) <= COLUMNS * 8:
            self._list(left)
        while left:
            entry = self._prompt(f"class by number or name; empty = {empty}, ? = list, u/s, b = back, q = stop: ")
            label = self._find(entry, left)
            if label is not None:
                self._store(question, {label: "yes"})
                left.remove(label)
                if single:
                    return
                continue
            if self._finish(question, entry, left, single):
                return

    def _finish(self, question: OpenQuestion, entry: str, left: Sequence[int], single: bool) -> bool:
        """Whether an entry that names no class ends the question; it is stored then."""
        word = entry.lower()
        self._leave(word)
        if not word or word in REST:
            # seeing none of them in a glance is no check of every class: only full lists make classes known as absent
            answer: Answer = KEYS[word] if word else "unsure" if single else "no"
            self._store(question, dict.fromkeys(left, answer))
            return True
        if word == "?":
            self._list(left)
        else:
            self._hint(entry, left)
        return False

    def _find(self, entry: str, labels: Sequence[int]) -> int | None:
        """The class that an entry means: its exact name first, then its number, then the only one that begins so."""
        if not entry:
            return None
        names = {label: self._workspace.taxonomy.names[label].lower() for label in labels}
        word = entry.lower()
        exact = [label for label, name in names.items() if name == word]
        if exact:
            return exact[0]
        if word in (*REST, "b", "q", "?"):
            return None
        if word.isdecimal():
            return int(word) - 1 if int(word) - 1 in names else None
        begins = [label for label, name in names.items() if name.startswith(word)]
        return begins[0] if len(begins) == 1 else None

    def _hint(self, entry: str, labels: Sequence[int]) -> None:
        names = [self._workspace.taxonomy.names[label] for label in labels]
        begins = [name for name in names if name.lower().startswith(entry.lower())]
        close = begins or difflib.get_close_matches(entry, names, n=5)
        click.echo(
            f"{entry!r} is no class that is asked about" + (f"; {', '.join(close[:8])}?" if close else "; ? lists them")
        )

    def _list(self, labels: Sequence[int], ticks: Iterable[int] | None = None) -> None:
        marked = None if ticks is None else set(ticks)
        names = self._workspace.taxonomy.names
        cells = []
        for label in labels:
            box = "" if marked is None else "[x] " if label in marked else "[ ] "
            cells.append(f"{box}{label + 1:>4} {names[label]}")
        width = max((len(cell) for cell in cells), default=0) + 2
        for start in range(0, len(cells), COLUMNS):
            click.echo("  " + "".join(cell.ljust(width) for cell in cells[start : start + COLUMNS]).rstrip())
