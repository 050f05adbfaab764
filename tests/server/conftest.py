"""A trained project whose queue is made, without any Label Studio: what `/predict` answers from."""

import shutil
from types import SimpleNamespace

import pytest
from backend_process import CLASSES, CONFIG, CREATED, SEEN, UNSEEN, draw

from spml_annotate.labels import Observation
from spml_annotate.loop.links import MAIN, LinkStore, TaskRow, version_name
from spml_annotate.loop.queue import build_queue
from spml_annotate.project import Project
from spml_annotate.studio.environment import StudioSettings


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """Thirty of thirty-six pictures are in the project, each with its one positive, and a model knows them."""
    base = tmp_path_factory.mktemp("trained")
    truth = draw(base / "pictures", SEEN + UNSEEN)
    names = sorted(truth)
    folder = base / "project"
    with Project.create(folder, list(CLASSES)) as project:
        project.add_images([base / "pictures" / name for name in names[:SEEN]])
        project.embed()
        project.observe(
            Observation(row, CLASSES.index(truth[name]), "yes", event=f"e{row}")
            for row, name in enumerate(project.image_ids)
            if row % 2
        )
        project.train(loss="an", epochs=100)
        links = LinkStore(folder)
        link = links.add("http://127.0.0.1:1", 7, CREATED, MAIN, CONFIG)
        link = links.update(link.id, tag="5e6d")  # decides which tasks are hidden: the same ones in every run
        where = [{"photo": f"/data/upload/7/{name}"} for name in names[:SEEN]]
        links.put_tasks(link.id, [TaskRow(100 + row, row, "", data) for row, data in enumerate(where)])
        version = version_name("0001", link.tag)
        settings = StudioSettings(hidden_share=0.2)
        places, shown = build_queue(project, links, link, settings)
        links.queue(link.id, version, places.values())
        links.update(link.id, version=version, model="0001")
        links.close()
    return SimpleNamespace(
        folder=folder,
        pictures=base / "pictures",
        truth=truth,
        names=names,
        settings=settings,
        shown=shown,
        places=places,
    )


@pytest.fixture
def trained(trained_once, tmp_path):
    """A copy of one's own; ``link`` is its link."""
    folder = tmp_path / "project"
    shutil.copytree(trained_once.folder, folder)
    links = LinkStore(folder)
    link = links.links()[0]
    links.close()
    return SimpleNamespace(**{**vars(trained_once), "folder": folder, "link": link})
