"""One registry for every kind of plug-in: a function's signature is its whole declaration.

Parameters before ``*`` are inputs from a closed list, parameters after it are settings with defaults.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from spml_annotate.errors import SettingError

F = TypeVar("F", bound=Callable[..., Any])
G = TypeVar("G", bound=Callable[..., Any])


@dataclass(frozen=True)
class Within:
    """Which numbers a setting may be: finite, and ``low`` to ``high``, without ``low`` itself if ``above``.

    A signature says so by a name for an annotated type: ``Share = Annotated[float, Within(0.0, 1.0)]``.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"between {self.low:g} and {self.high:g}"
        if self.low == -math.inf:
            return "finite"
        return f"finite and {'above' if self.above else 'at least'} {self.low:g}"

    def admits(self, value: Any) -> bool:  # noqa: ANN401  (a number, or a tensor with one per run)
        """Whether the value, or every value of a tensor, may be used."""
        inside = (value >= self.low) & (value <= self.high) & (abs(value) < math.inf)
        if self.above:
            inside = inside & (value > self.low)
        return inside if isinstance(inside, bool) else bool(inside.all())


@dataclass(frozen=True)
class Entry(Generic[F]):
    """A registered plug-in.

    ``inputs`` are the names before ``*`` in order, ``optional`` those of them that have a default,
    ``settings`` maps each name after ``*`` to its default, ``facts`` is what the registration said of it,
    ``ranges`` which numbers a setting may be, where its type says so.
    """

    name: str
    function: F
    inputs: tuple[str, ...]
    optional: frozenset[str]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    ranges: Mapping[str, Within] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        text = inspect.getdoc(self.function) or ""
        return text.split("\n\n")[0].replace("\n", " ").strip()

    def checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings with defaults filled in; strings are converted to the default's type.

        Raises:
            SettingError: for a name that the plug-in does not have, a value of the wrong type or outside its range.
        """
        merged = dict(self.settings)
        for key, value in settings.items():
            if key not in merged:
                raise SettingError(f"{self.name} has no setting {key!r}{_hint(key, merged)}")
            merged[key] = _convert(f"{self.name}.{key}", value, merged[key])
            if key in self.ranges and merged[key] is not None and not self.ranges[key].admits(merged[key]):
                raise SettingError(f"{self.name}.{key}: {value} must be {self.ranges[key]}")
        return merged


class Registry(Generic[F]):
    """Names → plug-ins of one kind, in the order of registration.

    Args:
        kind: what one of them is called in messages ("loss").
        inputs: the closed list of input names; None accepts any.
        load: imports the modules that register plug-ins; called once, on first use.
    """

    def __init__(
        self, kind: str, *, inputs: frozenset[str] | None = None, load: Callable[[], None] | None = None
    ) -> None:
        self.kind = kind
        self._allowed = inputs
        self._entries: dict[str, Entry[F]] = {}
        self._load = load

    def register(self, name: str, **facts: Any) -> Callable[[G], G]:  # noqa: ANN401  (facts are free by design)
        """Decorator: files the function under ``name`` and returns it untouched."""

        def file(function: G) -> G:  # of its own type, so that the caller keeps the signature it wrote
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = self._read(name, cast(F, function), facts)
            return function

        return file

    def _read(self, name: str, function: F, facts: dict[str, Any]) -> Entry[F]:
        inputs: list[str] = []
        optional: set[str] = set()
        settings: dict[str, Any] = {}
        ranges: dict[str, Within] = {}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{self.kind} {name!r}: *{parameter.name} hides what it takes; name every parameter")
            if parameter.kind is parameter.KEYWORD_ONLY:
                if parameter.default is parameter.empty:
                    raise TypeError(f"{self.kind} {name!r}: setting {parameter.name!r} needs a default")
                settings[parameter.name] = parameter.default
                ranges |= _range_of(function, parameter)
                continue
            if self._allowed is not None and parameter.name not in self._allowed:
                raise TypeError(f"{self.kind} {name!r}: {parameter.name!r} is not an input of a {self.kind}")
            inputs.append(parameter.name)
            if parameter.default is not parameter.empty:
                optional.add(parameter.name)
        mappings = (MappingProxyType(mapping) for mapping in (settings, facts, ranges))
        return Entry(name, function, tuple(inputs), frozenset(optional), *mappings)

    def arrange(self, modules: Sequence[str]) -> None:
        """Bring the plug-ins into the order of their modules, whichever was imported first; others come last."""
        place = {module: number for number, module in enumerate(modules)}
        entries = sorted(self._entries.items(), key=lambda item: place.get(item[1].function.__module__, len(place)))
        self._entries = dict(entries)

    def _ready(self) -> dict[str, Entry[F]]:
        if self._load is not None:
            load, self._load = self._load, None
            try:
                load()
            except BaseException:
                self._load = load  # else the next look would find an empty registry and say so
                raise
        return self._entries

    def __getitem__(self, name: str) -> Entry[F]:
        entries = self._ready()
        if name not in entries:
            raise SettingError(f"there is no {self.kind} {name!r}{_hint(name, entries)}")
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._ready()

    def __iter__(self) -> Iterator[str]:
        return iter(self._ready())

    def __len__(self) -> int:
        return len(self._ready())


def _range_of(function: Callable[..., Any], parameter: inspect.Parameter) -> dict[str, Within]:
    """The range in the annotation of a setting, by its name; nothing if there is none."""
    kind = parameter.annotation
    if isinstance(kind, str):  # postponed: the name of a type in the module, perhaps with "| None"
        kind = getattr(function, "__globals__", {}).get(kind.partition(" |")[0])
    found = [fact for fact in getattr(kind, "__metadata__", ()) if isinstance(fact, Within)]
    return {parameter.name: found[0]} if found else {}


def _hint(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from: {', '.join(known)}" if known else "; it has none"


def _convert(where: str, value: Any, default: Any) -> Any:  # noqa: ANN401  (settings are of any plain type)
    """A command line gives strings; the default's type says what is meant. What is not a number is refused."""
    found = _of_type(where, value, default)
    if isinstance(found, float) and found != found:
        raise SettingError(f"{where}: {value} is not a number")
    return found


def _of_type(where: str, value: Any, default: Any) -> Any:  # noqa: ANN401  (settings are of any plain type)
    if not isinstance(value, str) or isinstance(default, str):
        if isinstance(value, bool) is not isinstance(default, bool) and isinstance(default, bool | int | float):
            raise SettingError(f"{where}: {value!r} is not a {type(default).__name__}")
        if isinstance(default, int) and isinstance(value, float):
            if not value.is_integer():
                raise SettingError(f"{where}: {value!r} is not a whole number")
            return int(value)
        return value
    if isinstance(default, bool):
        lowered = value.lower()
        if lowered not in {"true", "false", "yes", "no", "on", "off", "1", "0"}:
            raise SettingError(f"{where}: {value!r} is neither true nor false")
        return lowered in {"true", "yes", "on", "1"}
    try:
        return int(value) if isinstance(default, int) else float(value)
    except ValueError:
        raise SettingError(f"{where}: {value!r} is not a number") from None
