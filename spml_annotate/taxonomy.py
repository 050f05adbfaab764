"""Class names, their order, aliases and prompts. Append-only: a class keeps its column for ever."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from spml_annotate.errors import DataError, MismatchError

_NOTHING: Mapping[str, str] = MappingProxyType({})


def with_spellings(places: Mapping[str, int]) -> dict[str, int]:
    """The same mapping, with names also found by their composed and decomposed Unicode forms (é as one sign or two).

    Names as they are come first; a form that would mean two things means the first of them.
    """
    found = dict(places)
    for name, place in places.items():
        if not name.isascii():
            found.setdefault(unicodedata.normalize("NFC", name), place)
            found.setdefault(unicodedata.normalize("NFD", name), place)
    return found


def lookalikes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in upper and lower case, spaces or Unicode form: usually one class, twice."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if first.setdefault(plain, name) != name:
            pairs.append((first[plain], name))
    return pairs


@dataclass(frozen=True)
class Taxonomy:
    """The classes of a project, column by column.

    Args:
        names: current display names, unique, in column order.
        keys: the names that the classes were born with; a rename changes ``names`` only, so fingerprints survive it.
        aliases: other spelling → current key ("sofa" → "couch").
        prompts: key → text prompt, for text encoders.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    prompts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "keys", tuple(self.keys) or self.names)
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))
        object.__setattr__(self, "prompts", MappingProxyType(dict(self.prompts)))
        if len(self.keys) != len(self.names):
            raise DataError(f"taxonomy: {len(self.names)} names but {len(self.keys)} keys")
        for group, what in ((self.names, "name"), (self.keys, "key")):
            seen: set[str] = set()
            for name in group:
                if not name or not name.strip():
                    raise DataError(f"taxonomy: a class {what} is empty; remove the empty line")
                if name in seen:
                    raise DataError(f"taxonomy: class {name!r} appears twice; keep one")
                seen.add(name)
        for alias, key in self.aliases.items():
            if key not in self.keys:
                raise DataError(f"taxonomy: alias {alias!r} points to the unknown class {key!r}")

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type[Taxonomy], tuple[object, ...]]:
        return Taxonomy, (self.names, self.keys, dict(self.aliases), dict(self.prompts))  # proxies cannot be pickled

    def __contains__(self, name: object) -> bool:
        """Whether a class is called that, by the rules of `column`."""
        return name in self._lookup()

    def column(self, name: str) -> int:
        """Column of a class by its name, its first name or an alias, in either Unicode form.

        Raises:
            DataError: if no class is called that.
        """
        found = self._lookup().get(name)
        if found is None:
            import difflib

            close = difflib.get_close_matches(name, self.names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {len(self)} classes"
            raise DataError(f"there is no class {name!r}{hint}")
        return found

    def _lookup(self) -> dict[str, int]:
        cached = self.__dict__.get("_columns")
        if cached is None:
            cached = {alias: self.keys.index(key) for alias, key in self.aliases.items()}
            cached.update((key, column) for column, key in enumerate(self.keys))
            cached.update((name, column) for column, name in enumerate(self.names))
            cached = with_spellings(cached)
            object.__setattr__(self, "_columns", cached)
        return cached

    def extended(self, names: Iterable[str]) -> Taxonomy:
        """The same taxonomy with further classes after the present ones.

        Raises:
            DataError: for a name that is empty, twice there, or already means a class.
        """
        new = tuple(names)
        for name in new:
            if name in self._lookup():
                known = self.names[self._lookup()[name]]
                raise DataError(f"cannot add class {name!r}: the name already means {known!r}; choose another")
        return replace(self, names=self.names + new, keys=self.keys + new)

    def renamed(self, old: str, new: str) -> Taxonomy:
        """The same taxonomy with another display name; the old name stays as an alias."""
        column = self.column(old)
        if new in self._lookup() and self._lookup()[new] != column:
            raise DataError(f"cannot rename {old!r}: {new!r} is another class")
        names = (*self.names[:column], new, *self.names[column + 1 :])
        return replace(self, names=names, aliases={**self.aliases, self.names[column]: self.keys[column]})

    def fingerprint(self, count: int | None = None) -> str:
        """Hash of the first ``count`` classes (all by default), the same after renames and appends."""
        digest = hashlib.sha256()
        for key in self.keys[:count]:
            digest.update(key.encode() + b"\0")
        return digest.hexdigest()[:16]

    def check_prefix(self, fingerprint: str, count: int, what: str) -> None:
        """Raise MismatchError unless ``what`` was made with the first ``count`` classes of this taxonomy."""
        if count > len(self) or self.fingerprint(count) != fingerprint:
            raise MismatchError(
                f"{what} was made for other classes than this project has; make it again or use the project it is from"
            )
