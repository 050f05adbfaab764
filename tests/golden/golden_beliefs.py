"""Adapters of the losses that correct, re-label or remember: what our code computes for their reference values."""

import math
from typing import Any

import torch
from golden_adapters import Adapter, Entry, Values, class_sum, mean, plain, run
from golden_file import observed, recode, table

from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.losses import LOSSES
from spml_annotate.losses.dynamic import negative_weight, pseudo_label_weight
from spml_annotate.states import STATES
from spml_annotate.states.multifocus import multifocus_labels

EPOCHS = ("logits", "logits_2", "logits_3", "logits_4")


def drifted_rate(entry: Entry, cells: int, passed: int) -> float:
    """The rate with which our formula counts as many cells as the authors' repeated subtraction does.

    They subtract the rate from 1 once an epoch, which can lift the count one above the formula's.
    """
    rate, clean = entry["params"]["delta_rel"], 1.0
    for _ in range(passed):
        clean -= rate
    theirs = math.ceil((1.0 - clean) * cells) if passed else 0
    ours = math.ceil(cells * passed * rate * (1.0 - 1e-9))
    if abs(theirs - ours) > 1:
        raise AssertionError(f"drift of more than one cell: {theirs} instead of {ours}")
    return rate if theirs == ours else theirs / (cells * passed)


def counted(corrected: torch.Tensor, inputs: Entry, labels: torch.Tensor, entry: Entry) -> int:
    """The corrected cells; the first repository reports those above the threshold only, so not the last one itself."""
    count = int(corrected.sum())
    if entry["repo"] != "snucml/LargeLossMatters" or count in (0, int((labels == UNKNOWN).sum())):
        return count
    logits = table(inputs["logits"])[corrected]
    return int((logits > logits.min()).sum())


def ll_ct(entry: Entry, inputs: Entry) -> Values:
    labels = observed(entry, inputs)
    passed = entry["params"]["epoch"] - 1
    rate = drifted_rate(entry, labels.numel(), passed)
    found = run("ll-ct", entry, inputs, labels, mean, progress=(passed, passed + 1), correction_rate=rate)
    corrected = (labels == UNKNOWN) & (found["grad_logits"] < 0)  # only a positive is pushed up
    return {**found, "n_correction_idx": counted(corrected, inputs, labels, entry)}


def corrected_state(entry: Entry, labels: torch.Tensor) -> Any:
    """The state of `ll-cp`, given the rate with which it counts ceil(N L rate) cells as the authors' floats do."""
    rate = entry["params"]["delta_rel"]
    count = math.ceil(labels.numel() * rate)
    exact = math.ceil(labels.numel() * rate * (1.0 - 1e-9))
    rate = rate if count == exact else count / labels.numel()
    return STATES["corrected"].function(labels[None], correction_rate=rate)


def ll_cp(entry: Entry, inputs: Entry) -> Values:
    labels = observed(entry, inputs)
    state = corrected_state(entry, labels)
    rows = torch.arange(len(labels))
    if entry["params"]["epoch"] > 1:
        state.end_epoch(0)
    state.observe(rows, {"logits": table(inputs["logits"])[None]})
    found = run("ll-cp", entry, inputs, labels, mean, expected=state.read(rows)["expected"][0])
    return {**found, "n_correction_idx": counted(state.chosen[0], inputs, labels, entry)}


def ll_cp_or_ct(entry: Entry, inputs: Entry) -> Values:
    """As first released, LL-Cp counts as LL-Ct does."""
    as_ct = "as released" in entry["convention"] and entry["repo"] == "snucml/LargeLossMatters"
    return ll_ct(entry, inputs) if as_ct else ll_cp(entry, inputs)


def ll_cp_sequence(entry: Entry, inputs: Entry) -> Values:
    """Four epochs of one batch. The first repository forgets the cell at the threshold; here it is taken back."""
    labels = observed(entry, inputs)
    state = corrected_state(entry, labels)
    rows = torch.arange(len(labels))
    steps = []
    for epoch, view in enumerate(EPOCHS[: len(entry["outputs"]["steps"])]):
        logits = table(inputs[view])[None]
        before = state.chosen.clone()
        state.observe(rows, {"logits": logits})
        value = LOSSES["ll-cp"].function(logits, labels, **state.read(rows)).mean()
        new = state.chosen & ~before
        if entry["repo"] == "snucml/LargeLossMatters" and new.any():
            last = new & (logits == logits[new].min())
            state.chosen &= ~last
        state.end_epoch(epoch)
        positive = (state.chosen[0] | (labels == POSITIVE)).flatten()
        steps.append(
            {
                "loss": value,
                "n_new": int((state.chosen & ~before).sum()),
                "n_pos_after": int(positive.sum()),
                "pos_cells_after": positive.nonzero().flatten(),
            }
        )
    return {"steps": steps}


def courses(params: Entry) -> Values:
    """Settings of the schedule that hold an entry's w, b, mu and sigma in every epoch."""
    ends = {"slope": "w", "offset": "b", "centre": "mu", "width": "sigma"}
    fixed = {f"{name}_{end}": params[symbol] for name, symbol in ends.items() for end in ("start", "end")}
    return {**fixed, "positive_exponent": params["q2"], "negative_exponent": params["q3"]}


# The released schedule's ends, from which the product's own schedule must give the values in the entries.
GR_COURSE = {"w": (0.0, 2.0), "b": (-2.0, -2.0), "mu": (0.5, 0.8), "sigma": (2.0, 0.5)}


def gr(entry: Entry, inputs: Entry) -> Values:
    """The schedule of our own if it has the authors' ends, else the entry's values as they are."""
    params = entry["params"]
    first, epochs, warm_up = params["epoch"], params["num_epochs"], params["linear_init"]
    done = {"w": first - warm_up - 1, "b": first - warm_up - 1, "mu": first - warm_up, "sigma": first - warm_up}
    scheduled = all(
        math.isclose(params[symbol], start + (end - start) * max(done[symbol], 0) / (epochs - warm_up))
        for symbol, (start, end) in GR_COURSE.items()
    )
    settings = {k: v for k, v in courses(params).items() if not scheduled or k.endswith("exponent")}
    progress = (first - 1, epochs)
    return run("gr", entry, inputs, observed(entry, inputs), mean, progress=progress, warm_up=warm_up, **settings)


def gpr(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    return run(
        "gpr",
        entry,
        inputs,
        observed(entry, inputs),
        mean,
        teacher=recode(inputs["pseudo"]),
        progress=(0, 1),
        heaviest=params["lam_1"],
        lightest=params["lam_2"],
        smoothing=1.0 - params["rho"],
        count_weight=params["reg"],
        expected_positives=params["expected_num_pos"],
        **courses(params),
    )


def damp(entry: Entry, inputs: Entry) -> Values:
    """The similarities are given among the results: of the images, then of each tile of all images."""
    params = entry["params"]
    labels = observed(entry, inputs)
    similarities = table(entry["outputs"]["similarity_logits"])
    whole, *tiles = similarities.split(len(labels))
    pseudo, _ = multifocus_labels(
        whole,
        torch.stack(tiles),
        labels,
        temperature=params["temp"],
        tile_threshold=params["eta"],
        count=params["top_k"],
        threshold=params["threshold"],
        negative_share=params["negative_ratio"],
    )
    return {"similarity_logits": similarities, "pseudo_returned_second": (pseudo == POSITIVE).double()}


def sinr(loss: str, reduction=mean, *, maximise_entropy: bool = False, weighted: bool = False):
    """The second epoch's logits are the background.

    With the authors' 1e-5 inside the logarithms: what entropy maximisation leaves of a loss may be nearly nothing.
    """

    def compute(entry: Entry, inputs: Entry) -> Values:
        settings = {"positive_weight": float(entry["params"]["pos_weight"])} if weighted else {}
        return run(
            loss,
            entry,
            inputs,
            observed(entry, inputs),
            reduction,
            background=table(inputs["logits_2"]),
            maximise_entropy=maximise_entropy,
            epsilon=1e-5,
            **settings,
        )

    return compute


def em_apl_sequence(entry: Entry, inputs: Entry) -> Values:
    """Four epochs of one batch through the state of `em-apl`; what is soft is listed as flat indices and -score."""
    params = entry["params"]
    labels = observed(entry, inputs)
    state = STATES["asymmetric"].function(
        labels[None],
        negative_share=params["neg_proportion"],
        warm_up=params["warmup_epoch"],
        epochs=params["num_epochs"],
        storage="float64",
    )
    rows = torch.arange(len(labels))
    weights = {"entropy_weight": params["alpha"], "pseudo_weight": params["beta"]}
    steps = []
    for epoch, view in enumerate(EPOCHS[: len(entry["outputs"]["steps"])]):
        logits = table(inputs[view])[None].requires_grad_()
        value = LOSSES["em-apl"].function(logits, labels, **state.read(rows), **weights).mean()
        (gradient,) = torch.autograd.grad(value, logits)
        state.write(rows, {"logits": logits.detach()})
        state.end_epoch(epoch)
        after = state.read(rows)
        soft = after["picked"][0].flatten() != 0
        steps.append(
            {
                "loss": value.detach(),
                "grad_logits": gradient[0],
                "n_soft_after": int(soft.sum()),
                "soft_cells_after": soft.nonzero().flatten(),
                "soft_values_after": -after["estimate"][0].flatten()[soft],
            }
        )
    return {"steps": steps}


def zhang(entry: Entry, inputs: Entry) -> Values:
    """Epochs of one batch, in which all unknown cells take part."""
    params = entry["params"]
    labels = observed(entry, inputs)
    state = STATES["drawn"].function(labels[None], share=params["q"], storage="float64")
    rows = torch.arange(len(labels))
    steps = []
    for epoch, view in enumerate(EPOCHS[: len(entry["outputs"]["steps"])]):
        logits = table(inputs[view])[None].requires_grad_()
        progress = (epoch, params["e_T"])
        settings = {"least_negative_weight": params["gamma"], "lead": float(params["m"])}
        function = LOSSES["dynamic-partial"].function
        value = function(logits, labels, **state.read(rows), progress=progress, **settings).mean()
        (gradient,) = torch.autograd.grad(value, logits)
        state.write(rows, {"logits": logits.detach()})
        state.end_epoch(epoch)
        beta = negative_weight(labels, logits[0], params["gamma"]).squeeze()
        weight = pseudo_label_weight(progress, params["m"], printed=False)
        step = {"loss": value.detach(), "alpha": 1.0 - beta, "beta": beta, "d": weight, "grad_logits": gradient[0]}
        steps.append(step)
    return {"steps": steps}


def lac(entry: Entry, inputs: Entry) -> Values:
    params = entry["params"]
    strong = table(inputs["logits_strong"]).requires_grad_()
    found = run(
        "lac",
        entry,
        inputs,
        observed(entry, inputs),
        mean,
        strong=strong,
        score_threshold=params["threshold"],
        consistency_weight=params["lambda_plc"],
    )
    return {**found, "grad_strong": strong.grad}


def crisp(entry: Entry, inputs: Entry) -> Values:
    """Priors estimated from the logits, and the risk with them; the paper sums over the classes."""
    params = entry["params"]
    labels = observed(entry, inputs)
    state = STATES["class-priors"].function(
        labels[None], confidence=params["delta"], slack=params["tau"], storage="float64"
    )
    rows = torch.arange(len(labels))
    state.write(rows, {"logits": table(inputs["logits"])[None]})
    state.end_epoch(0)
    priors = state.read(rows)["priors"][0]
    return {**run("crisp", entry, inputs, labels, class_sum, priors=priors), "priors": priors[0]}


def mime_bottleneck(entry: Entry, inputs: Entry) -> Values:
    """A bottleneck of two coordinates, made of further logits."""
    labels = observed(entry, inputs)
    beta = entry["params"]["beta"]
    centre = 0.5 * torch.stack([table(inputs["logits_2"]), table(inputs["logits_3"])], dim=-1)
    width = torch.nn.functional.softplus(torch.stack([table(inputs["logits_other"]), table(inputs["logits_4"])], -1))
    given = {"expected": torch.zeros(labels.shape), "latent": torch.stack([centre, width], dim=-2)}
    found = run("mime", entry, inputs, labels, mean, divergence_weight=beta, **given)
    without = run("mime", entry, inputs, labels, mean, divergence_weight=0.0, **given)
    alone = run("mime", entry, inputs, labels, mean, divergence_weight=1.0, **given)
    return {**found, "kl_term": beta * (alone["loss"] - without["loss"])}


def mime_sequence(entry: Entry, inputs: Entry) -> Values:
    labels = observed(entry, inputs)
    state = STATES["confident"].function(labels[None], score_threshold=entry["params"]["theta"], warm_up=0)
    rows = torch.arange(len(labels))
    steps = []
    for epoch, view in enumerate(EPOCHS[: len(entry["outputs"]["steps"])]):
        state.write(rows, {"logits": table(inputs[view])[None]})
        state.end_epoch(epoch)
        positive = ((state.read(rows)["expected"][0] != 0) | (labels == POSITIVE)).flatten()
        steps.append({"n_pos_after": int(positive.sum()), "pos_cells_after": positive.nonzero().flatten()})
    return {"steps": steps}


BELIEFS = {
    "LL-Ct": Adapter(ll_ct),
    "LL-Cp": Adapter(ll_cp_or_ct),
    "LL-Cp (4 epochs, one batch each)": Adapter(ll_cp_sequence),
    "AN-LS (multi-class style smoothing)": Adapter(plain("an-ls-multiclass", class_sum, smoothing="smoothing")),
    "AN-NLS (smooth negatives only)": Adapter(plain("an-nls", class_sum, smoothing="smoothing")),
    "SINR an_full": Adapter(sinr("sinr-full", weighted=True)),
    "SINR an_full_me": Adapter(sinr("sinr-full", weighted=True, maximise_entropy=True)),
    "SINR an_ssdl": Adapter(sinr("sinr-ssdl")),
    "SINR an_ssdl_me": Adapter(sinr("sinr-ssdl", maximise_entropy=True)),
    "EM+APL (4 epochs, one batch each)": Adapter(em_apl_sequence),
    "Zhang dynamic pseudo-label loss (3 epochs)": Adapter(zhang),
    "LAC stage 1 (AN + PLC)": Adapter(lac),
    "CRISP (priors and unbiased risk, absolute loss)": Adapter(crisp),
    "MIME (VIB loss, development repo)": Adapter(mime_bottleneck),
    "MIME pseudo-labels (3 passes)": Adapter(mime_sequence),
    "GR loss": Adapter(gr),
    "GPR loss (AEVLP)": Adapter(gpr),
    "DAMP pseudo-labels (AEVLP)": Adapter(damp),
}
