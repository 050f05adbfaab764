"""Is this folder tied to a Label Studio project that asks for its classes, in the right order?"""

from __future__ import annotations

from collections.abc import Iterator

from spml_annotate.errors import DataError
from spml_annotate.loop.connecting import SAMPLING
from spml_annotate.loop.creating import find_main
from spml_annotate.loop.doctor.case import Case
from spml_annotate.loop.links import MAIN
from spml_annotate.project.checkup import Check
from spml_annotate.studio.config import parse_config


def look_at_project(case: Case) -> Iterator[Check]:
    """The link, the project behind it, its labelling config, its order, and whether proposals are shown."""
    link = _link(case)
    yield link
    if link.level == "fail":
        case.ended = True
        return
    config = _config(case)
    yield config
    if config.level == "fail":
        case.ended = True
        return
    yield _sampling(case)
    yield _prelabelling(case)


def _link(case: Case) -> Check:
    case.link = find_main(case.links, case.client)
    if case.link is not None:
        case.remote = case.client.project(case.link.project)
        return Check("link", "ok", f"project {case.link.project}, {case.remote.get('title')}")
    left = [link for link in case.links.links() if link.kind == MAIN]
    if left:
        found = (
            f"project {left[-1].project} of {left[-1].host} is not at {case.client.url}, or this user may not see it"
        )
        remedy = f"set LABEL_STUDIO_URL={left[-1].host}, or run `spml-annotate studio create` for a new project there"
        return Check("link", "fail", found, remedy)
    remedy = "spml-annotate studio create (or connect the backend to a project there)"
    return Check("link", "fail", "this folder is tied to no Label Studio project", remedy)


def _config(case: Case) -> Check:
    try:
        case.config = parse_config(str(case.remote["label_config"]))
    except DataError as error:
        return Check("config", "fail", str(error), "mend it in Label Studio: Settings > Labeling Interface")
    names = case.config.classes
    taxonomy = case.project.taxonomy
    known = {*taxonomy.names, *taxonomy.keys, *taxonomy.aliases}
    foreign = [name for name in names if name not in known]
    if foreign:
        found = f"{len(foreign)} classes there are not in this folder, such as {foreign[0]!r}"
        remedy = (
            "spml-annotate studio sync takes them over; or `spml-annotate classes alias` if one has another name here"
        )
        return Check("config", "warn", found, remedy)
    missing = len(taxonomy) - len(set(names))
    if names and missing > 0:
        found = f"{missing} of {len(taxonomy)} classes of this folder cannot be chosen there"
        return Check(
            "config", "warn", found, "run `spml-annotate studio create` again, or add them to the config there"
        )
    return Check("config", "ok", f"{len(names) or 'per-task'} classes in control {case.config.main.name!r}")


def _sampling(case: Case) -> Check:
    found = str(case.remote.get("sampling"))
    if found.lower() != SAMPLING.lower():
        remedy = f"choose {SAMPLING!r} there (Settings > General), or run `spml-annotate studio create` again"
        return Check("sampling", "fail", f"tasks are served by {found!r}, not by what is most useful", remedy)
    return Check("sampling", "ok", f"{found}: the lowest prediction score is served first")


def _prelabelling(case: Case) -> Check:
    if case.remote.get("show_collab_predictions") is False:
        remedy = "switch on Settings > Annotation > 'Use predictions to prelabel tasks'"
        return Check("proposals", "warn", "proposals are stored but not shown to annotators", remedy)
    return Check("proposals", "ok", "proposals are shown to annotators")
