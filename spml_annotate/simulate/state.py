"""What an interrupted sweep needs to go on: the last finished round, written atomically."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, MismatchError
from spml_annotate.simulate.lanes import Lane
from spml_annotate.simulate.plan import fingerprint
from spml_annotate.stores.atomic import write_atomically, write_text


class SweepState:
    """The folder ``out/state`` and the plan in ``out/plan.json``."""

    def __init__(self, out: Path, description: dict[str, Any], resume: bool) -> None:
        self.folder = out / "state"
        self.description = description
        self.resume = resume

    @classmethod
    def open(cls, out: Path, description: dict[str, Any], *, resume: bool, overwrite: bool) -> SweepState:
        """Claim ``out`` for a plan.

        Raises:
            MismatchError: if another plan's results are there, unless ``overwrite``.
            DataError: if the folder cannot be made.
        """
        try:
            (out / "state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"--out {out}: cannot write there ({error.strerror}); choose another folder") from None
        description = json.loads(json.dumps(description))
        plan = out / "plan.json"
        if plan.exists() and not overwrite:
            before = _read_json(plan)
            changed = sorted(k for k in {*before, *description} if before.get(k) != description.get(k))
            if changed:
                raise MismatchError(
                    f"--out {out} holds another simulation ({', '.join(changed)} differ); "
                    "choose another folder, or --overwrite"
                )
        write_text(plan, json.dumps(description, indent=1, sort_keys=True) + "\n")
        state = cls(out, description, resume)
        if not resume:
            state._clear()
        return state

    def restore(self, lanes: list[Lane], rows: list[dict[str, Any]], class_precision: list[NDArray[np.float64]]) -> int:
        """Fill lanes and results from the last finished round; returns the number of rounds finished."""
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
            class_precision.extend(archive["class_precision"])
        return int(facts["round"]) + 1

    def commit(
        self, number: int, lanes: list[Lane], rows: list[dict[str, Any]], class_precision: list[NDArray[np.float64]]
    ) -> None:
        """Write round ``number`` down, then drop the round before it."""
        facts = {
            "plan": fingerprint(self.description),
            "round": number,
            "rows": rows,
            "questions": [dict(lane.questions) for lane in lanes],
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
        """The results are written: the state is no longer needed."""
        self._clear()
        self.folder.rmdir()

    def _clear(self) -> None:
        for old in self.folder.iterdir():
            old.unlink()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{path} is not readable as a plan; remove it or choose another --out") from None
    return dict(found)
