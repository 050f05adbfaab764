"""Adapters of the losses that focus, correct, rank, or learn from what a vision-language model says."""

import torch
from golden_adapters import Adapter, Entry, Values, class_sum, mean, observed, run, total
from golden_file import recode, table

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.states.selected import confident

_REDUCTIONS = {"sum": total, "mean": mean}


def only_ranked(labels: torch.Tensor) -> torch.Tensor:
    """The labels, with images of nothing but positives read as unknown: published losses get nothing from either."""
    return torch.where((labels == POSITIVE).all(dim=-1, keepdim=True), UNKNOWN, labels).to(torch.int8)


def pairwise_ranking(entry: Entry, inputs: Entry) -> Values:
    return {"reg": 0.0, **run("pairwise-ranking", entry, inputs, only_ranked(observed(entry, inputs)), mean)}


def hill(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    settings = {"ceiling": params["lambda"], "margin": params["margin"], "focus": params["gamma"]}
    return run("hill", entry, inputs, observed(entry, inputs), _REDUCTIONS[params["reduction"]], **settings)


def splc(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    settings = {"threshold": params["tau"], "margin": params["margin"], "focus": params["gamma"]}
    settings["change_epoch"] = params["change_epoch"]
    epochs = (params["epoch"], params["epoch"] + 1)
    reduction = _REDUCTIONS[params["reduction"]]
    return run("splc", entry, inputs, observed(entry, inputs), reduction, progress=epochs, **settings)


def asl(entry: Entry, inputs: Entry) -> Values:
    """The class named in the convention: it says whether the gradient flows through the weight."""
    params = entry["params"]
    settings = {"positive_focus": params["gamma_pos"], "negative_focus": params["gamma_neg"], "shift": params["clip"]}
    settings["detach_focus"] = params["disable_torch_grad_focal_loss"]
    return run("asl", entry, inputs, observed(entry, inputs), total, **settings)


def focal(entry: Entry, inputs: Entry) -> Values:
    """The form of the asymmetric class with one focus, or torchvision's with alpha."""
    params = entry["params"]
    labels = observed(entry, inputs)
    if "alpha" in params:
        weights = {"positive_weight": params["alpha"], "negative_weight": 1.0 - params["alpha"]}
        return run("focal", entry, inputs, labels, _REDUCTIONS[params["reduction"]], focus=params["gamma"], **weights)
    settings = {"focus": params["gamma_pos"], "detach_focus": params["disable_torch_grad_focal_loss"]}
    return run("focal", entry, inputs, labels, total, positive_weight=1.0, negative_weight=1.0, **settings)


def csl(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    settings = {
        "mode": {"ignore_normalize_classes": "ignore-normalised"}.get(
            params["partial_loss_mode"], params["partial_loss_mode"]
        ),
        "positive_focus": params["gamma_pos"],
        "negative_focus": params["gamma_neg"],
        "unknown_focus": params["gamma_unann"],
        "shift": params["clip"],
        "positive_weight": params["alpha_pos"],
        "negative_weight": params["alpha_neg"],
        "unknown_weight": params["alpha_unann"],
        "ignored_per_image": params["likelihood_topk"],
        "prior_threshold": params["prior_threshold"],
    }
    if params.get("class_priors") is not None:
        settings["priors"] = table(params["class_priors"])
    return run("csl", entry, inputs, observed(entry, inputs), total, **settings)


def partial_bce(entry: Entry, inputs: Entry) -> Values:
    return run("partial-bce", entry, inputs, observed(entry, inputs), mean, weighting="mean")


def dualcoop(entry: Entry, inputs: Entry) -> Values:
    """The pair's softmax is the sigmoid of the difference; the gradient is that of the positive prompt's logits."""
    params = entry["params"]
    difference = table(inputs["logits"]) - table(inputs["logits_other"])
    settings = {"positive_focus": params["gamma_pos"], "negative_focus": params["gamma_neg"], "shift": params["clip"]}
    return run("dualcoop", entry, {**inputs, "logits": difference.tolist()}, observed(entry, inputs), total, **settings)


def vlpl(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    settings = {"entropy_weight": params["alpha"], "pseudo_weight": params["beta_pos"]}
    teacher = recode(inputs["pseudo"])
    return run("vlpl", entry, inputs, observed(entry, inputs), mean, teacher=teacher, **settings)


def tai_ranking(entry: Entry, inputs: Entry) -> Values:
    """Full labels; the truth's negatives are given as unknown, which the ranking treats alike and nothing else uses."""
    labels = torch.where(table(inputs["truth"]) == 1, POSITIVE, UNKNOWN).to(torch.int8)
    return run("tai-ranking", entry, inputs, only_ranked(labels), class_sum, margin=entry["params"]["margin_"])


def scpnet(entry: Entry, inputs: Entry) -> Values:
    """The self-supervised term: the loss at weight 1 less the loss at weight 0, and the cells that count as positives.

    The relation and the classes' accuracies are inputs, which the file keeps among the outputs.
    """
    params, given = entry["params"], entry["outputs"]
    labels = observed(entry, inputs)
    logits, strong = table(inputs["logits"]), table(inputs["logits_strong"]).requires_grad_()
    accuracy, relation = table(given["classwise_acc"]), table(given["relation"])
    picked = confident(logits, labels, accuracy, params["hard_k"], params["p_cutoff"])

    def whole(weight: float) -> torch.Tensor:
        settings = {"consistency_weight": weight, "relation_weight": params["kl_lambda"]}
        return LOSSES["scpnet"].function(logits, labels, strong, picked, (0, 1), relation, **settings).sum()

    value = whole(1.0) - whole(0.0)
    value.backward()
    return {
        "loss": value.detach(),
        "grad_logits_strong": strong.grad,
        "grad_logits": strong.grad,  # by this name where only its norm or sum is held
        "labels": (picked | (labels == POSITIVE)).double(),
        "relation": relation,
        "classwise_acc": accuracy,
    }


FOCUS = {
    "PR": Adapter(pairwise_ranking),
    "Hill": Adapter(hill),
    "SPLC": Adapter(splc),
    "ASL": Adapter(asl),
    "ASL (optimized class)": Adapter(asl),
    "ASL (train.py settings)": Adapter(asl),
    "ASL as configured in this repo": Adapter(asl),
    "Focal (via ASL class)": Adapter(focal, accepts=lambda params: not params["clip"]),
    "Focal (torchvision)": Adapter(focal),
    "CSL / partial ASL": Adapter(csl),
    "partial BCE (known labels only)": Adapter(partial_bce, accepts=lambda params: params["margin"] == 0),
    "DualCoOp pair ASL": Adapter(dualcoop),
    "VLPL EM_PL loss": Adapter(vlpl, accepts=lambda params: params["epoch"] > params["warmup_epoch"]),
    "SCPNet self-supervised term": Adapter(scpnet),
    "TaI-DPT ranking loss": Adapter(tai_ranking, accepts=lambda params: params["scale_"] == 1),
}
