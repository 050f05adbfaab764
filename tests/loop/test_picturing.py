"""Pictures of tasks become rows: each once, copies as copies, broken ones flagged and mended later."""

import shutil

import pytest
from studio_world import picture

from spml_annotate.loop import picturing
from spml_annotate.loop.links import MAIN, LinkStore
from spml_annotate.loop.picturing import add_pictures, known_rows, picture_of, try_again
from spml_annotate.project import Project
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher
from spml_annotate.workspace.lock import WriterLock

CONFIG = """<View><Image name="i" value="$photo"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>"""


@pytest.fixture
def world(tmp_path):
    served = tmp_path / "served"
    picture(served / "birds" / "one.png", (9, 9, 9))
    picture(served / "birds" / "two.png", (200, 9, 9))
    shutil.copy(served / "birds" / "one.png", served / "birds" / "copy.png")
    (served / "birds" / "broken.png").write_bytes(b"half a picture")
    fetcher = ImageFetcher(StudioSettings(url="http://127.0.0.1:1", image_folders=(served,)), None)
    with Project.create(tmp_path / "project", ["a", "b"]) as project:
        links = LinkStore(tmp_path / "project")
        yield project.workspace, fetcher, links.add("http://127.0.0.1:1", 1, "2026", MAIN, CONFIG), served
        links.close()


def data(name):
    return {"photo": f"/data/local-files/?d=birds/{name}"}


def take(world, tasks):
    workspace, fetcher, link, _ = world
    found, missing = known_rows(workspace, fetcher, link, parse_config(CONFIG), tasks)
    return found, add_pictures(workspace, fetcher, missing)


def test_each_reference_is_one_row_and_equal_content_is_a_copy(world):
    workspace = world[0]
    found, added = take(world, {1: data("one.png"), 2: data("two.png"), 3: data("one.png"), 4: data("copy.png")})
    assert found == {}
    assert added.new == 3
    assert added.rows[1] == added.rows[3]
    assert workspace.images.duplicates() == {added.rows[4]: added.rows[1]}
    assert all(workspace.image_path(row).is_file() for row in added.rows.values())
    again, nothing = take(world, {7: data("two.png"), 8: {"spml_image": workspace.images.ids()[0], "photo": 3}})
    assert again == {7: added.rows[2], 8: 0}
    assert (nothing.new, nothing.rows) == (0, {})


def test_a_broken_picture_is_flagged_and_takes_part_once_it_is_mended(world, monkeypatch):
    workspace, fetcher, link, served = world
    _, added = take(world, {1: data("one.png"), 2: data("two.png"), 5: data("broken.png"), 6: {}, 9: ["no data"]})
    assert {task for task, _ in added.broken} == {5, 6, 9}
    assert len(added.rows) == 5
    assert set(workspace.images.errors()) == {added.rows[5], added.rows[6], added.rows[9]}
    assert all("\n" not in why and str(workspace.root) not in why for why in workspace.images.errors().values())
    shown = {added.rows[5]: picture_of(fetcher, link, parse_config(CONFIG), 5, data("broken.png"))}
    picture(served / "birds" / "broken.png", (3, 200, 3))
    assert try_again(workspace, fetcher, shown) == []
    assert not workspace.image_path(added.rows[5]).is_file(), "the pause is not over"
    monkeypatch.setattr(picturing.time, "time", lambda: 1e11)
    assert try_again(workspace, fetcher, shown) == []
    assert workspace.image_path(added.rows[5]).is_file()
    monkeypatch.undo()
    with Project(workspace.root) as project:
        project.embed()
        assert added.rows[5] not in project.workspace.images.errors()


def test_nothing_is_added_while_somebody_else_writes(world):
    workspace = world[0]
    with WriterLock(workspace.root / "lock").hold("train"):
        _, added = take(world, {1: data("one.png")})
    assert (added.rows, added.waiting, len(workspace.images)) == ({}, 1, 0)
    _, added = take(world, {1: data("one.png")})
    assert (added.rows, added.new) == ({1: 0}, 1)


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "a//b.png", ".hidden/x.png", "a\\b.png", "a\nb.png", "x" * 300]
)
def test_names_that_are_no_path_below_the_folder_are_hashed(name):
    safe = picturing._safe(name, "some reference")
    assert safe.startswith("other/")
    assert safe == picturing._safe(name, "some reference") != picturing._safe(name, "another reference")


def test_a_sensible_name_stays():
    assert picturing._safe("upload/3/a cat & more.png", "r") == "upload/3/a cat & more.png"
