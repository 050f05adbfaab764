"""Which adapter computes an entry: one list per module of adapters, keyed by the method's name in the file.

A method may have several adapters, each for some of its parameters; the first that accepts an entry computes it.
"""

from golden_adapters import CORE, Adapter, Entry
from golden_beliefs import BELIEFS
from golden_focus import FOCUS
from golden_views import VIEWS_AND_GRAPHS

ADAPTERS: dict[str, list[Adapter]] = {}
for _part in (CORE, BELIEFS, FOCUS, VIEWS_AND_GRAPHS):
    for _method, _adapter in _part.items():
        ADAPTERS.setdefault(_method, []).append(_adapter)


def adapter_of(entry: Entry) -> Adapter | None:
    """The adapter that covers this entry, if any."""
    return next((found for found in ADAPTERS.get(entry["method"], ()) if found.accepts(entry["params"])), None)
