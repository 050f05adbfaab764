"""Compare losses on single positive labels with the heads trained side by side.

Command:

    python examples/compare_losses.py

Output:

    500 training pictures, one positive each, 2.96 positives in truth
    loss    test mAP
    an         0.501
    ll-r       0.513
    en         0.513
    all labels 0.631
"""

import numpy as np

from spml_annotate import UNKNOWN, fit_heads
from spml_annotate.datasets.scenes import load_scenes
from spml_annotate.datasets.single import single_positives
from spml_annotate.embed.backbones import load_backbone
from spml_annotate.embed.images import extract
from spml_annotate.formats.dataset import TEST, TRAIN, VALIDATION
from spml_annotate.training import HeadRun
from spml_annotate.training.metrics import mean_average_precision

data = load_scenes(train=500, validation=150, test=300)
backbone = load_backbone("builtin", device="cpu")
features = np.concatenate([block.features for block in extract(backbone, data.pictures)])

train, validation, test = (data.rows(split) for split in (TRAIN, VALIDATION, TEST))
single = np.full_like(data.truth[train], UNKNOWN)
single[np.arange(len(train)), single_positives(data.truth, train, seed=0)] = 1
positives = data.positives_per_image(VALIDATION)

runs = [*(HeadRun(loss, label_set=0) for loss in ("an", "ll-r", "en")), HeadRun("bce", label_set=1)]
result = fit_heads(
    features[train],
    [single, data.truth[train]],
    runs,
    validation=(features[validation], data.truth[validation]),
    expected_positives=positives,
    device="cpu",
)

print(f"{len(train)} training pictures, one positive each, {data.positives_per_image(TRAIN):.2f} positives in truth")
print("loss    test mAP")
for run, head in zip(runs, result.heads, strict=True):
    name = "all labels" if run.loss == "bce" else run.loss
    print(f"{name:10} {mean_average_precision(head.predict(features[test]), data.truth[test]).value:.3f}")
