"""A project folder tied to a project of a real Label Studio, and annotators who answer there through the API."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from spml_annotate.labels import NEGATIVE, POSITIVE
from spml_annotate.loop.links import MAIN, Link, LinkStore
from spml_annotate.loop.pulling import add_link, pull
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.studio.forms import FORMS

CLASSES = ["heron", "gull", "tern", 'a & "b" <c>']


def picture(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), colour).save(path)
    return path


def choices(values, name="label", **more) -> dict:
    region = {"id": f"r-{name}", "from_name": name, "to_name": "image", "type": "choices"}
    return {**region, "value": {"choices": [values] if isinstance(values, str) else list(values)}, **more}


@dataclass
class StudioWorld:
    """``owner`` speaks as the owner of the server, ``people`` as annotators, by name."""

    project: Project
    links: LinkStore
    link: Link
    owner: StudioClient
    people: dict[str, StudioClient]
    fetcher: ImageFetcher
    folder: Path

    def pull(self, link: Link | None = None, **options):
        return pull(self.project, self.links, link or self.link, self.owner, self.fetcher, **options)

    def add_tasks(self, count: int, first: int = 0) -> list[int]:
        files = [
            picture(self.folder / "sent" / f"bird {n}.png", (40 * n % 256, 90, 255 - n))
            for n in range(first, first + count)
        ]
        return [task["id"] for task in self.owner.upload_images(self.link.project, files)]

    def known(self) -> dict[tuple[int, str], int]:
        """(row, class) → code of everything that is known."""
        rows, labels, values = self.project.labels.cells()
        names = self.project.taxonomy.names
        return {
            (int(row), names[label]): int(value)
            for row, label, value in zip(rows, labels, values, strict=True)
            if value in (POSITIVE, NEGATIVE)
        }

    def said(self) -> list[tuple[int, str, str, str]]:
        names = self.project.taxonomy.names
        return [(s.row, names[s.label], s.answer, s.annotator) for s in self.project.workspace.log]

    def close(self) -> None:
        self.links.close()
        self.project.close()
        for link in [self.link]:
            self.owner.delete_project(link.project)
        for client in (self.owner, *self.people.values()):
            client.close()


def make_studio_world(server, folder: Path, *, config: str | None = None, classes=CLASSES) -> StudioWorld:
    """A fresh project folder and a fresh, empty Label Studio project."""
    owner = server.client()
    project = Project.create(folder / "project", classes)
    links = LinkStore(folder / "project")
    xml = config or FORMS["pick"].config(project.taxonomy.names)
    made = owner.create_project("a project of one test", xml)
    link = add_link(project, links, owner, made["id"], MAIN)
    people = {name.partition("@")[0]: server.client(token) for name, token in server.annotators.items()}
    fetcher = ImageFetcher(StudioSettings(url=owner.url, token="unused"), owner)
    return StudioWorld(project, links, link, owner, people, fetcher, folder)
