"""What our code computes for an entry of the reference values: the adapters of the core losses.

An adapter takes (entry, inputs) and returns a mapping from names of outputs to values, in the entry's own reduction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from golden_file import observed, recode, table, with_true_negatives

from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.cells import expected_count_penalty
from spml_annotate.states import STATES

Entry = dict[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Adapter:
    """How a method is computed, which parameters it covers, and whether the authors' 1e-5 goes unmentioned."""

    compute: Callable[[Entry, Entry], Values]
    accepts: Callable[[Entry], bool] = lambda params: True
    epsilon: bool = False


def mean(matrix: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return matrix.mean()


def total(matrix: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return matrix.sum()


def class_sum(matrix: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return matrix.sum(dim=-1).mean()


def run(loss: str, entry: Entry, inputs: Entry, labels: torch.Tensor, reduction, **settings: Any) -> Values:
    """Loss and gradient of a registered loss without a state; ``matrix`` is the unreduced loss."""
    logits = table(inputs["logits"]).requires_grad_()
    given = {k: settings.pop(k) for k in list(settings) if k in LOSSES[loss].inputs}
    matrix = LOSSES[loss].function(logits, labels, **given, **settings)
    value = reduction(matrix, labels)
    value.backward()
    return {"loss": value.detach(), "grad_logits": logits.grad, "matrix": matrix.detach()}


def plain(loss: str, reduction=mean, **renamed: str) -> Callable[[Entry, Entry], Values]:
    """A loss whose settings are parameters of the entry under other names (setting="parameter")."""

    def compute(entry: Entry, inputs: Entry) -> Values:
        settings = {setting: entry["params"][parameter] for setting, parameter in renamed.items()}
        return {"reg": 0.0, **run(loss, entry, inputs, observed(entry, inputs), reduction, **settings)}

    return compute


def iun(entry: Entry, inputs: Entry) -> Values:
    labels = with_true_negatives(observed(entry, inputs), inputs)
    return {"reg": 0.0, **run("iun", entry, inputs, labels, mean)}


def epr(entry: Entry, inputs: Entry) -> Values:
    k = entry["params"]["expected_num_pos"]
    found = run("epr", entry, inputs, observed(entry, inputs), mean, expected_positives=k)
    return {**found, "reg": expected_count_penalty(table(inputs["logits"]).sigmoid(), k).squeeze()}


def masked(entry: Entry, inputs: Entry) -> Values:
    """Assume negative with the pseudo-positives left out: cross-entropy on the cells that are then known."""
    labels = observed(entry, inputs)
    labels = torch.where(labels == POSITIVE, POSITIVE, NEGATIVE)
    labels = torch.where(recode(inputs["pseudo"]) == POSITIVE, UNKNOWN, labels).to(torch.int8)
    return run("bce", entry, inputs, labels, class_sum)


def role(entry: Entry, inputs: Entry) -> Values:
    k = entry["params"]["expected_num_pos"]
    logits = table(inputs["logits"]).requires_grad_()
    estimator = table(inputs["label_estimator_logits"]).requires_grad_()
    labels = observed(entry, inputs)
    value = LOSSES["role"].function(logits, labels, estimator.sigmoid(), expected_positives=k).mean()
    value.backward()
    penalties = [expected_count_penalty(x.detach().sigmoid(), k).squeeze() for x in (logits, estimator)]
    return {
        "loss": value.detach(),
        "reg": sum(penalties) / 2,
        "grad_logits": logits.grad,
        "grad_estimator_logits": estimator.grad,
    }


def role_adam(entry: Entry, inputs: Entry) -> Values:
    """Free logits and the learned state, trained together by Adam on the whole batch."""
    params = entry["params"]
    labels = observed(entry, inputs)
    state = STATES["learned"].function(
        labels[None], seeds=[0], precision="float64", learning_rate_multiplier=params["lr_mult_estimator"]
    )
    start = table(entry["outputs"]["estimator_init"])
    own = state.logits.detach()[0].clone().mul(1e4).round().div(1e4)  # at known cells the start is not random
    start = torch.where(labels == UNKNOWN, start, own)
    with torch.no_grad():
        state.logits.copy_(start[None])
    logits = torch.nn.Parameter(table(inputs["logits"]))
    rate = params["lr"]
    groups = [
        {"params": [logits], "lr": rate},
        {"params": state.parameters(), "lr": rate * state.learning_rate_multiplier},
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8)
    rows = torch.arange(len(labels))
    losses = []
    for _ in range(params["steps"]):
        optimizer.zero_grad()
        given = state.read(rows)
        matrix = LOSSES["role"].function(logits[None], labels, **given, expected_positives=params["expected_num_pos"])
        matrix.mean().backward()
        losses.append(matrix.mean().detach())
        optimizer.step()
    return {
        "losses": torch.stack(losses),
        "estimator_init": start,
        "f_logits_after": logits.detach(),
        "estimator_logits_after": state.logits.detach()[0],
        "starts": {"f_logits_after": table(inputs["logits"]), "estimator_logits_after": start},
    }


def ll_r(entry: Entry, inputs: Entry) -> Values:
    """Large-loss rejection with the authors' drifting count.

    They subtract the rate from 1 once an epoch, which can lift the count of rejected cells one above the formula's;
    that drift is put into the rate given to ours.
    """
    params = entry["params"]
    labels = observed(entry, inputs)
    passed = params["epoch"] - 1
    clean = 1.0
    for _ in range(passed):
        clean -= params["delta_rel"]
    drifted = math.ceil((1.0 - clean) * labels.numel()) if passed else 0
    by_formula = math.ceil(labels.numel() * passed * params["delta_rel"] * (1.0 - 1e-9))
    if abs(drifted - by_formula) > 1:
        raise AssertionError(f"drift of more than one cell: {drifted} instead of {by_formula}")
    rate = params["delta_rel"] if drifted == by_formula else drifted / (labels.numel() * passed)
    found = run("ll-r", entry, inputs, labels, mean, progress=(passed, passed + 1), rejection_rate=rate)
    return {**found, "n_correction_idx": _counted_as_rejected(found["matrix"], table(inputs["logits"]), labels, entry)}


def _counted_as_rejected(matrix: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, entry: Entry) -> int:
    """The rejected cells; the first repository reports those above the threshold only, so not the last one itself."""
    unknown = labels == UNKNOWN
    rejected = (matrix == 0) & unknown
    count = int(rejected.sum())
    if entry["repo"] != "snucml/LargeLossMatters" or count in (0, int(unknown.sum())):
        return count
    return int((logits[rejected] > logits[rejected].min()).sum())


def en_sequence(entry: Entry, inputs: Entry) -> Values:
    """Three epochs of expected negatives through the EMA state: one batch an epoch, the next logits every epoch."""
    params = entry["params"]
    labels = observed(entry, inputs)
    state = STATES["ema"].function(
        labels[None], momentum=params["mu"], expected_positives=params["K"], storage="float64"
    )
    rows = torch.arange(len(labels))
    steps = []
    for epoch, view in enumerate(["logits", "logits_2", "logits_3", "logits_4"][: len(entry["outputs"]["steps"])]):
        logits = table(inputs[view])[None].requires_grad_()
        given = state.read(rows)
        en = LOSSES["en"].function(logits, labels, given["expected"]).mean()
        function = LOSSES["en-cl"].function
        whole = function(logits, labels, **given, consistency_weight=params["gamma"]).mean()
        (gradient,) = torch.autograd.grad(whole, logits)
        with_consistency = function(logits, labels, **given, consistency_weight=1.0).mean()
        count = int(state.chosen.sum())
        state.write(rows, {"logits": logits.detach()})
        state.end_epoch(epoch)
        steps.append(
            {
                "en": en.detach(),
                "ep": LOSSES["ep"].function(logits, labels, given["expected"]).mean().detach(),
                "cl_mean": (with_consistency - en).detach(),
                "total_en_plus_gamma_cl": whole.detach(),
                "n_expected_pos": count,
                "grad_logits": gradient[0],
                "scores_after": state.scores[0].clone(),
            }
        )
    return {"steps": steps, "p_i": state.quota[0]}


CORE = {
    "BCE": Adapter(plain("bce")),
    "BCE_LS": Adapter(plain("bce-ls", smoothing="ls_coef")),
    "AN": Adapter(plain("an")),
    "AN_LS": Adapter(plain("an-ls", smoothing="ls_coef")),
    "WAN": Adapter(plain("wan")),
    "IU": Adapter(plain("iu")),
    "IUN": Adapter(iun),
    "EPR": Adapter(epr),
    "ROLE": Adapter(role),
    # Its convention does not repeat what that of the single step says: the same file, with 1e-5 inside the logarithm.
    "ROLE (3 joint Adam steps)": Adapter(role_adam, epsilon=True),
    "EM": Adapter(plain("em", entropy_weight="alpha")),
    "LL-R": Adapter(ll_r, accepts=lambda params: params["scheme"] == "LL-R"),
    "EN / EP / EN+CL (3 epochs)": Adapter(en_sequence),
    # Other methods' terms that are one of ours with another reduction or setting.
    "BCE (sum)": Adapter(
        plain("an", total), accepts=lambda params: not any(params[k] for k in ("gamma_neg", "gamma_pos", "clip"))
    ),
    "AN (class-sum form)": Adapter(plain("an", class_sum)),
    "WAN (class-sum form)": Adapter(plain("wan", class_sum, negative_weight="gamma")),
    "EM (class-sum form)": Adapter(plain("em", class_sum, entropy_weight="alpha")),
    "Masked BCE (pseudo positives ignored)": Adapter(masked),
    "SMILE inference-model AN term": Adapter(plain("an")),
    "Scob classification loss (ROLE variant)": Adapter(role),
}
