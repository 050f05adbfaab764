"""What an interrupted sweep needs to go on: the last finished round, written atomically."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.simulate.lanes import Lane
from spml_annotate.simulate.plan import fingerprint
from spml_annotate.simulate.training import Trials
from spml_annotate.stores.atomic import write_atomically, write_text

OUTPUTS = ("curves.csv", "classes.csv", "summary.json", "curves.png", "curves.svg", "report.html")


class SweepState:
    """The folder ``out/state`` and the plan in ``out/plan.json``."""

    def __init__(self, out: Path, description: dict[str, Any], resume: bool) -> None:
        self.out = out
        self.folder = out / "state"
        self.description = description
        self.resume = resume

    @classmethod
    def open(cls, out: Path, description: dict[str, Any], *, resume: bool, overwrite: bool) -> SweepState:
        """Claim ``out`` for a plan; results of another plan, if they may be overwritten, go first.

        Raises:
            MismatchError: if another plan's results are there, unless ``overwrite``.
            DataError: if the folder cannot be made.
        """
        description = json.loads(json.dumps(description))
        state = cls(out, description, resume)
        plan = out / "plan.json"
        changed = check_out(out, description, overwrite=overwrite)
        try:
            (out / "state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"--out {out}: cannot write there ({error.strerror}); choose another folder") from None
        if changed and overwrite:
            for name in OUTPUTS:  # old curves must not stand beside the new plan, were this run interrupted
                (out / name).unlink(missing_ok=True)
        if not resume or (changed and overwrite):
            state._clear()
        write_text(plan, json.dumps(description, indent=1, sort_keys=True) + "\n")
        return state

    def finished(self) -> dict[str, Any] | None:
        """The summary of this plan if a sweep has finished here already and is to be resumed."""
        complete = all((self.out / name).exists() for name in OUTPUTS)
        if not self.resume or not complete or any(self.folder.glob("round-*.npz")):
            return None
        return _read_json(self.out / "summary.json")

    def restore(
        self,
        lanes: list[Lane],
        rows: list[dict[str, Any]],
        class_precision: list[NDArray[np.float64]],
        trials: Trials,
    ) -> int:
        """Fill lanes, results and tried learning rates from the last finished round; returns the rounds finished."""
        kept = sorted(self.folder.glob("round-*.npz"))
        if not kept:
            return 0
        with np.load(kept[-1], allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            if facts["plan"] != fingerprint(self.description):
                raise MismatchError(
                    f"{kept[-1]} belongs to another simulation; remove {self.folder} or use --overwrite"
                )
            for lane, codes, scores, seconds, questions in zip(
                lanes, archive["codes"], archive["scores"], archive["seconds"], facts["questions"], strict=True
            ):
                lane.codes, lane.scores, lane.seconds = codes, scores, float(seconds)
                lane.questions = Counter(questions)
            rows.extend(facts["rows"])
            for loss, tried in facts["trials"].items():
                trials[loss] = {float(rate): value for rate, value in tried.items()}
            class_precision.extend(archive["class_precision"])
        return int(facts["round"]) + 1

    def commit(
        self,
        number: int,
        lanes: list[Lane],
        rows: list[dict[str, Any]],
        class_precision: list[NDArray[np.float64]],
        trials: Trials,
    ) -> None:
        """Write round ``number`` down, then drop the round before it."""
        facts = {
            "plan": fingerprint(self.description),
            "round": number,
            "rows": rows,
            "questions": [dict(lane.questions) for lane in lanes],
            "trials": trials,
        }

        def write(file: BinaryIO) -> None:
            np.savez_compressed(
                file,
                facts=np.array(json.dumps(facts)),
                codes=np.stack([lane.codes for lane in lanes]),
                scores=np.stack([lane.scores for lane in lanes]),
                seconds=np.array([lane.seconds for lane in lanes], dtype=np.float64),
                class_precision=np.stack(class_precision),
            )

        write_atomically(self.folder / f"round-{number:03d}.npz", write)
        for old in self.folder.glob("round-*.npz"):
            if old.name < f"round-{number:03d}.npz":
                old.unlink()

    def close(self) -> None:
        """The results are written: the state is no longer needed, nor what a killed sweep wrote half."""
        self._clear()
        for name in (*OUTPUTS, "plan.json"):
            for half in self.out.glob(f".{name}.*.tmp"):
                half.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _clear(self) -> None:
        """Remove what sweeps left here, whole or half written; whatever else lies in the folder is not ours."""
        for pattern in ("round-*.npz", ".round-*.npz.*.tmp"):
            for old in self.folder.glob(pattern):
                old.unlink()


def check_out(out: Path, description: Mapping[str, Any], *, overwrite: bool) -> list[str]:
    """See whether a folder may hold a plan, without making it; ``description`` may be a part of it.

    Returns:
        What is different from the plan that is there.

    Raises:
        MismatchError: if another plan's results are there, unless ``overwrite``.
        DataError: if the folder cannot be made or written in.
    """
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "no permission" if there.is_dir() else f"{there} is a file"
        raise DataError(f"--out {out}: cannot write there ({reason}); choose another folder")
    plan = out / "plan.json"
    before = {} if not plan.exists() else _read_plan(plan, unreadable_is_empty=overwrite)
    wanted = json.loads(json.dumps(dict(description)))
    names = {*before, *wanted} if "data" in wanted else set(wanted)
    changed = sorted(name for name in names if before.get(name) != wanted.get(name))
    if changed and before and not overwrite:
        raise MismatchError(
            f"--out {out} holds another simulation ({', '.join(changed)} differ); choose another folder, or --overwrite"
        )
    return changed


def _read_plan(path: Path, *, unreadable_is_empty: bool) -> dict[str, Any]:
    try:
        return _read_json(path)
    except DataError:
        if unreadable_is_empty:
            return {}
        raise


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{path} is not readable; remove it or choose another --out") from None
    return dict(found)
