"""The kinds of settings that losses have, by the values that make sense; a signature says which kind each one is."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from spml_annotate.registry import Within

Setting = float | Tensor
"""One value, or a tensor [H, 1, 1] with one per run."""

Share = Annotated[Setting, Within(0.0, 1.0)]
"""A probability, a rate or a threshold of probabilities."""

Weight = Annotated[Setting, Within(0.0)]
"""A factor of a part of the loss, or a power; 0 leaves the part out."""

Positive = Annotated[Setting, Within(0.0, above=True)]
"""What is divided by, or a number of things that are there."""

Real = Annotated[Setting, Within()]
"""Any finite number."""

Count = Annotated[int, Within(0)]
"""A number of epochs or cells."""
