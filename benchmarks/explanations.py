"""Why a step of some losses costs more than three times plain cross-entropy; one sentence each."""

_PASSES = (
    "two logarithms or powers per cell instead of one, and a dozen passes of plain arithmetic, each its own matrix"
)
_SHIFTED = (
    "one logarithm for positives and one for shifted negatives, a weight for either, and the gradient of both: about "
    "thirty passes of plain arithmetic, each its own matrix"
)
_LARGEST = "finding the largest of all cells of the batch costs about as much as a whole step of cross-entropy"
_VIEWS = "two views of every image, each with a cross-entropy and a gradient of its own"

EXPLANATIONS: dict[str, str] = {
    "role": "four logarithms (of p, 1-p, q and 1-q) and gradients into the head and into the estimate",
    "em": "cross-entropy and entropy, each with its gradient; " + _PASSES.split(", and ")[1],
    "em-apl": "cross-entropy against codes and against soft labels, and entropy, each with its gradient",
    "ll-r": _LARGEST,
    "ll-ct": _LARGEST,
    "asl": _SHIFTED,
    "dualcoop": _SHIFTED,
    "focal": _PASSES,
    "hill": "the focal term and the hill of unknown cells, each with its own sigmoid and gradient",
    "splc": "the focal term, and a decision about every unknown cell by its own sigmoid",
    "scpnet": _VIEWS
    + "; with a relation between classes also a product with a matrix of L x L, which at 1,000 classes "
    "is most of it",
    "csl": "three weights with powers of their own (positives, negatives, unknown cells), one logarithm",
    "pairwise-ranking": "the hinge needs no logarithm, but the cross-entropy of known negatives beside it does",
    "tai-ranking": "sorts the classes of every image, which costs L log L instead of L",
    "vlpl": "cross-entropy and entropy, each with its gradient, and masks of two tables of codes",
    "gr": "two generalised logarithms, a sigmoid and a bell curve per cell: six exponentials and logarithms, not two",
    "gpr": "all of `gr`, and a cross-entropy with pseudo-labels and a regulariser beside it",
    "sinr-full": "two matrices of logits, the row and its background: twice the work",
    "sinr-ssdl": "two matrices of logits, the row and its background: twice the work",
    "dynamic-partial": "two weights per cell, each with sums over the images, before one fused call",
    "lac": _VIEWS + ", and comparisons with two thresholds",
    "ignore": _VIEWS + ", and comparisons between three views",
    "smile": "the second model that it trains too: a divergence of Beta distributions, with gamma and digamma "
    "functions of every cell",
    "mime": "the bottleneck's mean and deviation: 2 x 4 numbers per cell here, with a logarithm and a gradient each",
}
