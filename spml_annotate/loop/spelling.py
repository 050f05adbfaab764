"""How a labelling config spells proposals: those made for one config may mean nothing in the config after it."""

from __future__ import annotations

import json

from spml_annotate.errors import DataError
from spml_annotate.loop.links import Link, LinkStore
from spml_annotate.studio.config import LabellingConfig, parse_config


def spelling(config: LabellingConfig) -> str:
    """What a prediction depends on in a config, as JSON: the control, and class name → spelling in results."""
    main = config.main
    control = [main.name, main.to_name, main.tag, main.most, main.nested, main.leaves_only, main.options]
    classes = {name: list(main.path_of(value)) for name, value in zip(main.names, main.values, strict=True)}
    return json.dumps({"control": control, "classes": classes}, sort_keys=True, ensure_ascii=False)


def is_outdated(links: LinkStore, link: Link) -> bool:
    """Whether proposals of the version in use are spelled for a config that had classes, or a control, now changed.

    Classes that were added since do not matter: the model knows nothing of them.
    """
    before = links.spelling(link.id, link.version)
    if not before or not link.model:  # before the first model nothing is proposed
        return False
    try:
        now = json.loads(spelling(parse_config(link.config)))
    except DataError:
        return False  # a config that cannot be used is reported elsewhere; there is nothing better to send
    then = json.loads(before)
    kept = all(now["classes"].get(name) == path for name, path in then["classes"].items())
    return not kept or then["control"] != now["control"]
