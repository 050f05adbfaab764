"""Assembles what a loss asked for: its settings, its state and the state's settings, and labels that it can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spml_annotate.errors import DataError, SettingError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelKind, LabelMatrix
from spml_annotate.losses import INPUT_WORDS, LOSSES
from spml_annotate.registry import Entry
from spml_annotate.states import STATES

DEFAULT_EXPECTED_POSITIVES = 1.5

# What training on stored features can give every loss; the rest must come from the loss's state.
_SUPPLIED = frozenset({"logits", "labels", "progress"})


@dataclass(frozen=True)
class Method:
    """A loss with its settings, and the state that fills its estimate inputs with those of the state."""

    name: str
    loss: Entry[Callable[..., Any]]
    settings: dict[str, Any]
    state: Entry[Callable[..., Any]] | None
    state_settings: dict[str, Any]

    @property
    def oracle(self) -> bool:
        """Whether the method must be told all true negatives."""
        return bool(self.loss.facts.get("oracle", False))

    @property
    def unsupplied(self) -> tuple[str, ...]:
        """Inputs that the loss must have and training on stored features cannot give, such as a second view."""
        filled = self.state.facts.get("fills", ()) if self.state else ()
        needed = (name for name in self.loss.inputs if name not in self.loss.optional)
        return tuple(name for name in needed if name not in _SUPPLIED and name not in filled)


def resolve(
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    expected_positives: float | None = None,
    epochs: int | None = None,
) -> Method:
    """Look a method up and fill in its settings.

    A setting goes to the loss or to its state, whichever has it (both, if both have it). ``expected_positives`` (k)
    and the ``epochs`` of the training are filled in where the method has them and the user did not set them.

    Raises:
        SettingError: for an unknown loss or a setting that neither the loss nor its state has.
    """
    loss = LOSSES[name]
    state_name = loss.facts.get("state")
    state = STATES[state_name] if state_name else None
    state_known: Mapping[str, Any] = state.settings if state else {}
    ranges = {**(state.ranges if state else {}), **loss.ranges}
    # What is wrong is said by the name the user wrote.
    both = replace(loss, settings={**state_known, **loss.settings}, ranges=ranges)
    checked = both.checked(settings or {})
    given = {key: checked[key] for key in settings or {}}
    _require_some_positives(name, given.get("expected_positives"))
    if expected_positives is not None:
        given.setdefault("expected_positives", float(expected_positives))
    if epochs is not None:
        given.setdefault("epochs", epochs)
    loss_settings = loss.checked({k: v for k, v in given.items() if k in loss.settings})
    state_settings = state.checked({k: v for k, v in given.items() if k in state_known}) if state else {}
    return Method(name, loss, loss_settings, state, state_settings)


def _require_some_positives(name: str, expected: Any) -> None:  # noqa: ANN401  (a number, or a tensor with one per head)
    if expected is None:
        return
    above = expected > 0.0
    if not (above if isinstance(above, bool) else bool(above.all())):
        raise SettingError(f"{name}.expected_positives: {expected} positives per image; it must be above 0")


def require_supplied(method: Method) -> None:
    """Refuse a method that training on stored features cannot give all its inputs.

    Raises:
        SettingError: naming the inputs, such as a second view.
    """
    if method.unsupplied:
        raise SettingError(
            f"{method.name} needs {in_words(method.unsupplied)}, which stored features do not give; "
            "choose another loss (`spml-annotate losses`) or call it in a training loop of your own"
        )


def in_words(inputs: Sequence[str]) -> str:
    """Inputs of losses as a reader knows them: a strongly augmented view and a masked view."""
    return " and ".join(INPUT_WORDS[name] for name in inputs)


def usable_labels(
    method: Method, codes: NDArray[np.int8], *, as_published: bool = False, stored_features: bool = True
) -> NDArray[np.int8]:
    """The codes [N, L] as the method reads them.

    ``as_published`` reads known negatives as unknown, as the papers' code does, except for methods that need them.
    ``stored_features`` says that nothing else is there of the images, so no second view of them.

    Raises:
        SettingError: before training starts, if the method needs negatives and there are none, cannot learn from this
            kind of labels, or needs an input that stored features do not give.
        DataError: if ``as_published`` leaves nothing known.
    """
    if stored_features:
        require_supplied(method)
    needs = bool(method.loss.facts.get("needs_negatives", False)) or method.oracle
    if needs and not (codes == NEGATIVE).any():
        raise SettingError(
            f"{method.name} needs known negatives and these labels have none; "
            "choose another loss (`spml-annotate losses`) or ask for negatives first"
        )
    _require_kind(method, codes)
    if method.oracle:
        _require_all_negatives(method, codes)
    if as_published and not needs:
        return _without_negatives(codes)
    return codes


def _without_negatives(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    negatives = int((codes == NEGATIVE).sum())
    if negatives and not (codes == POSITIVE).any():
        raise DataError(
            f"as published, the {negatives} known negatives are read as unknown, and no positive is known; "
            "train without it, or label positives first"
        )
    return np.where(codes == NEGATIVE, np.int8(UNKNOWN), codes)


def _require_kind(method: Method, codes: NDArray[np.int8]) -> None:
    kinds = method.loss.facts["label_kinds"]
    if set(kinds) == set(LabelKind):
        return
    known = codes[(codes != UNKNOWN).any(axis=1)]  # images about which nothing is known do not train
    kind = LabelMatrix.from_dense(known).kind()
    if kind not in kinds:
        raise SettingError(
            f"{method.name} learns from {' or '.join(k.value for k in kinds)} labels and these are {kind.value}; "
            "choose another loss (`spml-annotate losses`)"
        )


def _require_all_negatives(method: Method, codes: NDArray[np.int8]) -> None:
    """All of them cannot be checked without the truth; that most images have some can (a few may have all classes)."""
    partly = (codes == POSITIVE).any(axis=1) & (codes == UNKNOWN).any(axis=1)
    none = partly & ~(codes == NEGATIVE).any(axis=1)
    if 2 * none.sum() > partly.sum():
        raise SettingError(
            f"{method.name} must be told every true negative, and {int(none.sum())} of these images have none; "
            "it is a reference for data whose truth is known: choose another loss (`spml-annotate losses`)"
        )
