"""What a person's answer costs, in seconds: published defaults, each with its source, all overridable."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from spml_annotate.errors import DataError, SettingError


class Price(NamedTuple):
    """Seconds, the range that published figures leave open, what is paid for, and where the figure comes from."""

    seconds: float
    low: float
    high: float
    pays: str
    source: str


PRICES: dict[str, Price] = {
    "pick": Price(
        5.0,
        3.0,
        7.0,
        "see an image, find one class that is on it, click",
        "5.1 s per object by speech and click on COCO (Gygli & Ferrari 2019, arXiv:1905.10576)",
    ),
    "another": Price(
        3.0,
        2.0,
        5.1,
        "name one more class of the same image, or say that there is no more",
        "assumption, below the 5.1 s of Gygli & Ferrari 2019 because the image is already seen; re-fit it",
    ),
    "verify": Price(
        1.7,
        1.0,
        3.0,
        "say yes or no to one class on an image already shown",
        "1.5-1.9 s (Krishna et al., CHI 2016; figure quoted from memory); about 1 s claimed by Prodigy's makers",
    ),
    "view": Price(1.0, 0.5, 2.0, "the first verify question on a new image, extra", "assumption; re-fit it"),
    "open": Price(1.0, 0.5, 1.5, "open a page of proposals or a full check", "fitted to the COCO figure of glance"),
    "glance": Price(
        0.22,
        0.11,
        1.0,
        "pass over one class of a page or a full check",
        "COCO: 27.4 s per image for 91 classes (20,000 worker hours / 328,000 images / 8 workers; "
        "Lin et al. 2014) = 1 + 0.22 x 91 + 2 x 3.5; upper end: a flat second per class (VOC)",
    ),
    "fix": Price(2.0, 1.0, 3.0, "tick or untick one class of a page or a full check", "as glance"),
}


@dataclass(frozen=True)
class Prices:
    """Seconds per action; see `PRICES` for what each pays and its source."""

    pick: float = PRICES["pick"].seconds
    another: float = PRICES["another"].seconds
    verify: float = PRICES["verify"].seconds
    view: float = PRICES["view"].seconds
    open: float = PRICES["open"].seconds
    glance: float = PRICES["glance"].seconds
    fix: float = PRICES["fix"].seconds

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 86_400:
                raise SettingError(f"price {item.name} = {value!r} is not a number of seconds")

    def full_check(self, classes: int, positives: float) -> float:
        """Expected seconds to check all classes of one image, blind."""
        return self.open + self.glance * classes + self.fix * positives


def load_prices(path: Path | str) -> Prices:
    """Prices from a TOML file with a table ``[seconds]``; what it does not name keeps its default.

    Raises:
        DataError: if the file is missing or is not TOML. SettingError: for an unknown price or a value that is none.
    """
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"prices: there is no file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"prices: {path} is not a TOML file: {error}") from None
    given = table.get("seconds", {})
    unknown = (set(table) - {"seconds"}) | (set(given) - set(PRICES))
    if unknown:
        raise SettingError(
            f"prices: {path} names {', '.join(sorted(unknown))}; "
            f"write a table [seconds] with any of {', '.join(PRICES)}"
        )
    return Prices(**given)
