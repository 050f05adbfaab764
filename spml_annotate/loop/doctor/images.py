"""Can the pictures be read with our token, wherever tasks say that they are?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from spml_annotate.errors import DataError, SpmlError
from spml_annotate.loop.doctor.case import Case
from spml_annotate.project.checkup import Check
from spml_annotate.studio.fetch import ImageFetcher

SAMPLE = 5
_LOCAL = "/data/local-files/"


def look_at_images(case: Case) -> Iterator[Check]:
    """Fetch a few pictures, spread over the project; then look at the addresses themselves."""
    assert case.config is not None
    references: dict[int, str] = {}
    empty: list[int] = []
    for task in case.client.tasks(case.number):
        try:
            references[int(task["id"])] = case.config.reference(task.get("data"))
        except DataError:
            empty.append(int(task["id"]))
    if empty:
        found = f"{len(empty)} tasks have no picture under {case.config.key!r}, such as task {empty[0]}"
        yield Check("pictures", "warn", found, "delete them in Label Studio, or import them again")
    if not references:
        return
    numbers = sorted(references)
    chosen = numbers[:: max(1, len(numbers) // SAMPLE)][:SAMPLE]
    yield _readable(case, {number: references[number] for number in chosen})
    yield _hosts(case, references)


def _readable(case: Case, references: dict[int, str]) -> Check:
    fetcher = ImageFetcher(case.settings, case.client)
    faults = []
    for number, reference in references.items():
        try:
            fetcher.fetch(reference, task=number)
        except SpmlError as error:
            faults.append(f"task {number}: {error}")
    if not faults:
        return Check("images", "ok", f"{len(references)} pictures of {len(references)} tried can be read")
    found = f"{len(faults)} of {len(references)} pictures tried cannot be read ({faults[0]})"
    local = any(_LOCAL in reference for reference in references.values())
    remedy = (
        "local files need LOCAL_FILES_SERVING_ENABLED=true and LOCAL_FILES_DOCUMENT_ROOT at Label Studio, and a "
        "storage row for a folder below it (`studio create --images local` makes it)"
        if local
        else "see the message; SPML_IMAGE_HOSTS allows further hosts"
    )
    return Check("images", "fail" if len(faults) == len(references) else "warn", found, remedy)


def _hosts(case: Case, references: dict[int, str]) -> Check:
    """Tasks that a storage's sync made carry Label Studio's idea of its own address, which others may not share."""
    ours = urlsplit(case.client.url).netloc
    other = sorted(
        {
            parts.netloc
            for parts in map(urlsplit, references.values())
            if parts.netloc and parts.path.startswith("/data/") and parts.netloc != ours
        }
    )
    if other:
        found = f"tasks name Label Studio as {', '.join(other[:3])}, LABEL_STUDIO_URL is {ours}"
        remedy = (
            f"we read such pictures from {ours}; annotators' browsers need the named address to work: start Label "
            "Studio with LABEL_STUDIO_HOST set to the address that they use"
        )
        return Check("image hosts", "warn", found, remedy)
    return Check("image hosts", "ok", "pictures are named relative to Label Studio, or lie elsewhere")
