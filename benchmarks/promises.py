"""Whether expected positives are as often right as was wished, and whether the stated interval holds the truth.

    python benchmarks/promises.py                   # prints the table
    python benchmarks/promises.py --write           # replaces that of docs/results.md
    python benchmarks/promises.py --dataset scenes --draws 5 --json

Every draw is a project of its own: one random positive per image, a random sample that is checked completely and never
trained on, a head trained with `en`, and proposals for every cell that nobody answered; the truth of the data judges
them. The interval is the one that `export` prints and the data card shows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from page import replace_table
from results import DATA, PAGE, load

from spml_annotate.datasets.single import single_positives
from spml_annotate.device import set_threads
from spml_annotate.formats.dataset import TRAIN
from spml_annotate.labels import POSITIVE
from spml_annotate.oracles.simulated import SimulatedOracle
from spml_annotate.progress import set_quiet
from spml_annotate.project import Project
from spml_annotate.project.exporting.quality import quality_of
from spml_annotate.stores.images import ImageEntry
from spml_annotate.workspace.settings import FeatureSettings

TABLE = "benchmarks/promises.py"
SETS = ("scenes", "coco525", "voc20mix")
CHECKED = (40, 200)
WISHES = (0.7, 0.8, 0.9)
DRAWS = 20
KEY = "given"


@dataclass(frozen=True)
class Kept:
    """How a wish was kept over ``draws``: ``proposing`` of them proposed anything, ``reached`` of those kept it.

    ``proposed`` is the mean number of expected positives, ``precision`` the share of all of them that is right, and
    ``held`` of ``stated`` intervals hold the share that is right.
    """

    dataset: str
    checked: int
    wish: float
    draws: int
    proposing: int
    reached: int
    proposed: float
    precision: float
    stated: int
    held: int

    @property
    def broken(self) -> str:
        """How many of the draws propose less precisely than was wished."""
        return f"{self.proposing - self.reached} of {self.draws}"


def project_of(folder: Path, names: Sequence[str], features: NDArray[np.floating[Any]]) -> Project:
    """A project of images that came as features."""
    project = Project.create(folder, list(names))
    workspace, count = project.workspace, len(features)
    workspace.images.add(ImageEntry(f"{row:06d}") for row in range(count))
    with workspace.features.writer(KEY, workspace.images.fingerprint, count, features.shape[1], backbone=KEY) as writer:
        writer.write(0, features.astype(np.float16))
        writer.commit()
    workspace.update(features=FeatureSettings(KEY, "builtin"))
    return project


def answer(project: Project, truth: NDArray[np.int8], queries: Sequence[Any]) -> None:
    """Full and right answers."""
    oracle = SimulatedOracle(truth, np.full(len(truth), -1))
    oracle.ask(queries)
    project.collect(oracle)


Outcome = tuple[int, int, bool | None]


def draw(
    folder: Path,
    names: Sequence[str],
    features: NDArray[np.floating[Any]],
    truth: NDArray[np.int8],
    checked: int,
    seed: int,
) -> Iterator[tuple[float, Outcome]]:
    """For every wish how many expected positives there are, how many are right, and whether the interval holds that."""
    count = len(truth)
    with project_of(folder, names, features) as project:
        first = single_positives(truth, np.arange(count), seed=seed)
        project.workspace.log.append_many(np.arange(count), first, np.full(count, POSITIVE))
        asked = project.ask_validation(checked, seed=seed)
        answer(project, truth, [question.query for question in asked.new])
        project.train(loss="en", seed=seed)
        for wish in WISHES:
            made = project.propose(precision=wish)
            found = made.proposals.select(made.proposals.values == POSITIVE)
            right = int((truth[found.rows, found.labels] == POSITIVE).sum())
            quality = quality_of(project.workspace, made)
            stated = quality.overall.positive_precision if quality is not None else None
            holds = None
            if len(found) and stated is not None and stated.low is not None and stated.high is not None:
                holds = stated.low <= right / len(found) <= stated.high
            yield wish, (len(found), right, holds)


def measure(name: str, *, data: Path, draws: int) -> Iterator[Kept]:
    """A row for each wish and number of checked images, if those are at most half of the images."""
    dataset, features = load(name, data, "cpu")
    rows = dataset.rows(TRAIN)
    rows = rows[(dataset.truth[rows] == POSITIVE).any(axis=1)]
    truth, features = dataset.truth[rows], features[rows]
    for checked in (number for number in CHECKED if 2 * number <= len(rows)):
        found: dict[float, list[Outcome]] = {wish: [] for wish in WISHES}
        for seed in range(draws):
            with tempfile.TemporaryDirectory() as folder:
                for wish, outcome in draw(Path(folder) / "p", dataset.taxonomy.names, features, truth, checked, seed):
                    found[wish].append(outcome)
        for wish, outcomes in found.items():
            yield summed(name, checked, wish, outcomes)


def summed(name: str, checked: int, wish: float, outcomes: Sequence[Outcome]) -> Kept:
    """All draws of one wish together."""
    some = [(count, right) for count, right, _ in outcomes if count]
    held = [holds for _, _, holds in outcomes if holds is not None]
    total = sum(count for count, _ in some)
    return Kept(
        dataset=name,
        checked=checked,
        wish=wish,
        draws=len(outcomes),
        proposing=len(some),
        reached=sum(right >= wish * count for count, right in some),
        proposed=total / len(outcomes),
        precision=sum(right for _, right in some) / total if total else float("nan"),
        stated=len(held),
        held=sum(held),
    )


def text(found: Sequence[Kept]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| data | checked images | wish | draws that propose | wish broken | expected positives | right | "
        "interval holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        right = "" if np.isnan(row.precision) else f"{row.precision:.3f}"
        lines.append(
            f"| {row.dataset} | {row.checked} | {row.wish:g} | {row.proposing} of {row.draws} | {row.broken} | "
            f"{row.proposed:.0f} | {right} | {row.held} of {row.stated} |"
        )
    return "\n".join(lines)


@click.command()
@click.option("--dataset", "names", multiple=True, default=SETS, show_default=True, help="May be given several times.")
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True, help="Folder of npz files.")
@click.option("--draws", type=click.IntRange(1), default=DRAWS, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--write", is_flag=True, help="Replace the table of docs/results.md.")
def main(names: tuple[str, ...], data: Path, draws: int, as_json: bool, write: bool) -> None:
    """Print how often a wished precision is reached."""
    set_threads(1)
    set_quiet(True)
    found = []
    for name in names:
        for row in measure(name, data=data, draws=draws):
            click.echo(f"{name}, {row.checked} checked, {row.wish:g}: broken in {row.broken} draws", err=True)
            found.append(row)
    click.echo(json.dumps([asdict(row) for row in found], indent=1) if as_json else text(found))
    if write:
        replace_table(TABLE, text(found), PAGE)


if __name__ == "__main__":
    main()
