"""Adapters of the losses that compare views or learn from inferred labels."""

import torch
from golden_adapters import Adapter, Entry, Values, mean, observed, run
from golden_file import table

from spml_annotate.labels import UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.assume import an
from spml_annotate.states import STATES

WEAK_VIEWS = ("logits", "logits_2", "logits_3")


def ignore(entry: Entry, inputs: Entry) -> Values:
    """The thresholds follow every step up to the entry's own; masked and strong views stay the same."""
    params = entry["params"]
    labels = observed(entry, inputs)
    rows = torch.arange(len(labels))
    settings = {"gap_momentum": params["gap_lambda"], "average_momentum": params["avg_lambda"]}
    state = STATES["thresholds"].function(labels[None], **settings)
    masked, strong = table(inputs["logits_masked"]), table(inputs["logits_strong"]).requires_grad_()
    for view in WEAK_VIEWS[: WEAK_VIEWS.index(params["weak_view"]) + 1]:
        state.observe(rows, {"logits": table(inputs[view])[None], "masked": masked[None]})
    thresholds = state.read(rows)["thresholds"][0]
    progress = (params["epoch"] - 1, params["epoch"])
    weak = {**inputs, "logits": inputs[params["weak_view"]]}
    found = run(
        "ignore",
        entry,
        weak,
        labels,
        mean,
        strong=strong,
        masked=masked,
        thresholds=thresholds,
        progress=progress,
        weak_weight=params["spbc_weight"],
        strong_weight=params["ignore_weight"],
        consistency_weight=params["reg_weight"],
        warm_up=params["warm_up"],
    )
    return {
        **found,
        "grad_strong": strong.grad,
        "gap_threshold": thresholds[0, 0, 0],
        "avg_threshold": thresholds[0, :, 1],
        "n_rejected": rejected(labels, strong, found["matrix"], table(weak["logits"]), params),
    }


def rejected(
    labels: torch.Tensor, strong: torch.Tensor, matrix: torch.Tensor, weak: torch.Tensor, params: Entry
) -> int:
    """Unknown cells whose loss holds the consistency term only."""
    consistency = params["reg_weight"] * (strong.detach() - weak).square()
    return int(((labels == UNKNOWN) & (matrix == consistency)).sum())


def smile_classifier(entry: Entry, inputs: Entry) -> Values:
    """The loss less what trains the inferring model; what that infers are other logits' probabilities."""
    params = entry["params"]
    labels = observed(entry, inputs)
    inferred = table(inputs["logits_other"])
    found = run(
        "smile",
        entry,
        inputs,
        labels,
        mean,
        estimate=inferred.sigmoid(),
        reconstruction=torch.zeros(labels.shape),
        unknown_target=params["p"],
        graph_weight=params["mu"],
        unknown_weight=params["rate"],
        even=bool(params["bias"]),
        reconstruction_weight=0.0,
        divergence_weight=0.0,
    )
    return {**found, "loss": found["loss"] - an(inferred, labels).mean()}


def smile_divergence(entry: Entry, inputs: Entry) -> Values:
    """The loss at weight 1 less the loss at weight 0; the gradient is that of what was inferred."""
    labels = observed(entry, inputs)
    logits = table(inputs["logits"]).requires_grad_()
    given = (torch.zeros(labels.shape), labels, logits.sigmoid(), torch.zeros(labels.shape))
    whole, rest = (LOSSES["smile"].function(*given, divergence_weight=weight).mean() for weight in (1.0, 0.0))
    (whole - rest).backward()
    return {"loss": (whole - rest).detach(), "grad_logits": logits.grad}


VIEWS_AND_GRAPHS = {
    "IGNORE": Adapter(ignore),
    "SMILE classifier loss": Adapter(smile_classifier, accepts=lambda params: params["T"] == 1),
    "SMILE beta KL term": Adapter(smile_divergence, accepts=lambda params: params["prior_value"] == 1),
}
