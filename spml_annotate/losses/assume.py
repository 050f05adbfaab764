"""Losses that take unknown for negative, or leave unknown cells out.

Three things are called "label smoothing 0.1". (1) Cole's released code, which `an-ls` and `bce-ls` follow: 0.1 of the
mass moves, the target of a positive is 0.9 and that of a negative 0.1. (2) Cole's equation 9: half of it moves, so
the paper's 0.1 is ``smoothing=0.05`` here. (3) The multi-class style of Kim et al. 2022, `an-ls-multiclass`: the
target is t(1-s) + s/L, so that an assumed negative is hardly smoothed.
"""

from __future__ import annotations

from torch import Tensor

from spml_annotate.labels import LabelKind
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import cross_entropy, is_known, is_positive, is_unknown
from spml_annotate.losses.ranges import Setting, Share, Weight

_COLE = {
    "paper": "arXiv:2106.09708",
    "title": "Multi-Label Learning from Single Positive Labels",
    "authors": "Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic",
    "venue": "CVPR 2021",
    "year": 2021,
    "repository": "elijahcole/single-positive-multi-label",
    "family": "assume",
    "certainty": "A",
}
_ACTIONS = {
    "paper": "arXiv:2210.04933",
    "title": "An Action Is Worth Multiple Words: Handling Ambiguity in Action Recognition",
    "authors": "Kim, Moltisanti, Mac Aodha, Sevilla-Lara",
    "venue": "BMVC 2022",
    "year": 2022,
    "repository": "kiyoon/verb_ambiguity",
    "family": "assume",
    "certainty": "A",
    "code_defaults": {"smoothing": 0.1},
}
_CLASS_SUM = "the code sums over the classes, so its loss is L times this mean; "
_EXACT = "exact logarithms where the code adds 1e-5 inside them"
_KNOWN_ONLY = _EXACT + "; any mixture of known and unknown cells is accepted"
_WITH_NEGATIVES = _EXACT + "; known negatives, which the code refuses, get the term of a negative with full weight"
_SMOOTHED = "label smoothing: a known cell is pulled back once its probability passes the smoothed target"


@LOSSES.register(
    "bce",
    **_COLE,
    needs_negatives=True,
    label_kinds=(LabelKind.PAL, LabelKind.FAL),
    differs=_KNOWN_ONLY,
)
def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy on the known cells; unknown cells weigh nothing.

    The mean is over all cells, known or not, so with few known cells the loss is small. [*H, B, L].
    """
    return cross_entropy(logits, is_positive(labels, logits), is_known(labels, logits))


@LOSSES.register(
    "bce-ls",
    **_COLE,
    needs_negatives=True,
    pulls_known=_SMOOTHED,
    label_kinds=(LabelKind.PAL, LabelKind.FAL),
    code_defaults={"smoothing": 0.1},
    paper_defaults={"smoothing": "0.05 (its 0.1 moves half of that mass)"},
    differs=_KNOWN_ONLY,
)
def bce_ls(logits: Tensor, labels: Tensor, *, smoothing: Share = 0.1) -> Tensor:
    """Binary cross-entropy on the known cells against smoothed targets; unknown cells weigh nothing.

    Settings:
        smoothing: a, the mass moved to the other value (0.1 in the code; the paper's 0.1 is 0.05 here).
    """
    return cross_entropy(logits, _smoothed(labels, logits, smoothing), is_known(labels, logits))


@LOSSES.register("an", **_COLE, differs=_WITH_NEGATIVES)
def an(logits: Tensor, labels: Tensor) -> Tensor:
    """Assume negative: binary cross-entropy with every unknown cell taken for a negative. [*H, B, L]."""
    return cross_entropy(logits, is_positive(labels, logits))


@LOSSES.register(
    "an-ls",
    **_COLE,
    pulls_known=_SMOOTHED,
    code_defaults={"smoothing": 0.1},
    paper_defaults={"smoothing": "0.05 (its 0.1 moves half of that mass)"},
    differs=_WITH_NEGATIVES,
)
def an_ls(logits: Tensor, labels: Tensor, *, smoothing: Share = 0.1) -> Tensor:
    """Assume negative against smoothed targets.

    Settings:
        smoothing: a, the mass moved to the other value (0.1 in the code; the paper's 0.1 is 0.05 here).
    """
    return cross_entropy(logits, _smoothed(labels, logits, smoothing))


@LOSSES.register(
    "an-ls-multiclass",
    **_ACTIONS,
    pulls_known=_SMOOTHED,
    differs=_CLASS_SUM + "known negatives, which the code cannot say, are smoothed as assumed ones are",
)
def an_ls_multiclass(logits: Tensor, labels: Tensor, *, smoothing: Share = 0.1) -> Tensor:
    """Assume negative, with the positives' mass spread over all classes as label smoothing of one-of-L targets does.

    The target is 1 - s + s/L for a known positive and s/L for everything else. [*H, B, L].

    Settings:
        smoothing: s, the mass that is spread.
    """
    return cross_entropy(logits, (1.0 - smoothing) * is_positive(labels, logits) + smoothing / logits.shape[-1])


@LOSSES.register(
    "an-nls",
    **_ACTIONS,
    differs=_CLASS_SUM + "known negatives, which the code cannot say, are not smoothed",
)
def an_nls(logits: Tensor, labels: Tensor, *, smoothing: Share = 0.1) -> Tensor:
    """Assume negative with smoothed assumed negatives only: their target is s/L, known cells keep theirs.

    Settings:
        smoothing: s, which an assumed negative gets divided by the number of classes.
    """
    smoothed = is_unknown(labels, logits) * (smoothing / logits.shape[-1])
    return cross_entropy(logits, is_positive(labels, logits) + smoothed)


@LOSSES.register(
    "wan",
    **_COLE,
    start="undecided",  # one positive weighs as much as all its assumed negatives
    code_defaults={"negative_weight": "1/(L-1)"},
    paper_defaults={"negative_weight": "1/(L-1)"},
    differs=_WITH_NEGATIVES,
)
def wan(logits: Tensor, labels: Tensor, *, negative_weight: Weight | None = None) -> Tensor:
    """Weak assume negative: unknown cells are negatives of little weight, known cells weigh 1.

    Settings:
        negative_weight: gamma, the weight of an assumed negative; 1/(L-1) if not given (1 for a single class).
    """
    if negative_weight is None:
        negative_weight = 1.0 / max(logits.shape[-1] - 1, 1)
    weight = 1.0 + (negative_weight - 1.0) * is_unknown(labels, logits)
    return cross_entropy(logits, is_positive(labels, logits), weight)


@LOSSES.register(
    "iu",
    **_COLE,
    needs_negatives=True,
    label_kinds=(LabelKind.PAL, LabelKind.FAL),
    differs=_EXACT + "; a batch without a negative, which the code refuses, is accepted",
)
def iu(logits: Tensor, labels: Tensor) -> Tensor:
    """Ignore unobserved: cross-entropy on the known positives and negatives; unknown cells weigh nothing.

    The paper gives it one positive and one negative per image. The formula is that of `bce`.
    """
    return cross_entropy(logits, is_positive(labels, logits), is_known(labels, logits))


@LOSSES.register(
    "iun",
    **_COLE,
    oracle=True,
    needs_negatives=True,
    label_kinds=(LabelKind.PAL, LabelKind.FAL),
    differs=_EXACT + "; the true negatives come in the labels, not as a second table",
)
def iun(logits: Tensor, labels: Tensor) -> Tensor:
    """Ignore unobserved positives: cross-entropy on known positives and ALL true negatives; missed positives weigh 0.

    An oracle: the labels must hold every true negative, which nobody annotates. A reference, not a method.
    """
    return cross_entropy(logits, is_positive(labels, logits), is_known(labels, logits))


def _smoothed(labels: Tensor, logits: Tensor, smoothing: Setting) -> Tensor:
    """Target 1-a for a known positive, a for everything else."""
    return smoothing + (1.0 - 2.0 * smoothing) * is_positive(labels, logits)
