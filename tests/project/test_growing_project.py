"""Images and classes are added to a live project: what was there keeps its meaning."""

import shutil

import numpy as np
import pytest
from PIL import Image
from project_world import give_features

from spml_annotate.errors import DataError
from spml_annotate.project import Project


def test_images_are_added_once_and_faults_are_named(world, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(world.pictures / "train", folder / "a")
    (folder / "b").mkdir()
    shutil.copy(folder / "a" / "00000.png", folder / "b" / "00000.png")
    (folder / "b" / "broken.jpg").write_bytes(b"no picture at all")
    whole = (folder / "a" / "00001.png").read_bytes()
    (folder / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((9, 9), dtype=np.uint16)).save(folder / "b" / "deep.png")
    with Project.create(tmp_path / "p", ["x", "y"]) as project:
        added = project.add_images(folder)
        assert (added.new, added.known, added.images) == (64, 0, 64)
        assert added.duplicates == (("b/00000.png", "a/00000.png"),)
        assert [name for name, _ in added.unreadable] == ["b/broken.jpg", "b/cut.png"]
        again = project.add_images(folder)
        assert (again.new, again.known) == (0, 64)


def test_images_that_can_be_read_again_take_part_again(world, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(world.pictures / "train", folder)
    whole = (folder / "00001.png").read_bytes()
    (folder / "00001.png").write_bytes(whole[:100])
    (folder / "00002.png").write_bytes(b"")
    (folder / "00003.png").write_bytes(b"")
    with Project.create(tmp_path / "p", ["x"]) as project:
        assert len(project.add_images(folder).unreadable) == 3
        shutil.move(folder / "00000.png", tmp_path / "away.png")
        images = project.workspace.images
        assert len(project.embed(device="cpu").unreadable) == 4
        assert not project.features()[:4].any()

        shutil.move(tmp_path / "away.png", folder / "00000.png")
        (folder / "00001.png").write_bytes(whole)
        shutil.copy(folder / "00009.png", folder / "00002.png")
        assert project.add_images(folder).new == 0
        done = project.embed(device="cpu")
        assert (done.new, [name for name, _ in done.unreadable]) == (2, ["00002.png", "00003.png"])
        assert "copy of 00009.png" in images.errors()[2]
        assert project.embed(device="cpu").new == 0
        mended = np.array(project.features())

        shutil.copy(folder / "00008.png", folder / "00000.png")
        images.flag(0, "the disk was away")
        assert project.embed(device="cpu").new == 0
        assert "another content" in images.errors()[0]
    with Project.create(tmp_path / "fresh", ["x"]) as project:
        (folder / "00000.png").write_bytes((world.pictures / "train" / "00000.png").read_bytes())
        project.add_images([folder / f"{row:05d}.png" for row in (0, 1)])
        project.embed(device="cpu")
        np.testing.assert_allclose(mended[:2], project.features(), atol=1e-2)


def test_files_that_are_all_away_are_no_unreadable_images(world, tmp_path):
    shutil.copytree(world.pictures, tmp_path / "disk")
    with Project.create(tmp_path / "p", ["x"]) as project:
        project.add_images(tmp_path / "disk")
        (tmp_path / "disk").rename(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="images move"):
            project.embed(device="cpu")
        assert not project.workspace.images.errors()


def test_a_file_that_is_no_image_is_not_added(world, tmp_path):
    with Project.create(tmp_path / "p", ["x"]) as project:
        with pytest.raises(DataError, match="no image file"):
            project.add_images(world.one)
        assert project.image_ids == ()


def test_options_of_the_embedding_are_as_before_unless_given(world, tmp_path):
    with Project.create(tmp_path / "p", ["x"]) as project:
        project.add_images(world.pictures)
        project.embed(size=32, device="cpu")
        small = project.workspace.feature_settings
        project.embed(mean=0.4, std=0.3, device="cpu")
        both = project.workspace.feature_settings
        assert (both.backbone, both.size, both.mean) == ("builtin", small.size, (0.4,))
        project.embed(device="cpu")
        assert project.workspace.feature_settings == both


def test_equal_names_from_two_folders_need_a_prefix(world, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "one" / "x.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "two" / "x.png")
    with Project.create(tmp_path / "p", ["x"]) as project:
        project.add_images(tmp_path / "one")
        with pytest.raises(DataError, match="--prefix"):
            project.add_images(tmp_path / "two")
        project.add_images(tmp_path / "two", prefix="two/")
        assert project.image_ids == ("x.png", "two/x.png")


def test_moved_images_are_found_again(world, tmp_path):
    shutil.copytree(world.pictures, tmp_path / "before")
    with Project.create(tmp_path / "p", ["x"]) as project:
        project.add_images(tmp_path / "before")
        (tmp_path / "before").rename(tmp_path / "after")
        assert any(check.level == "fail" and check.name == "images" for check in project.doctor())
        assert project.move_images(tmp_path / "before", tmp_path / "after") == 60
        assert not any(check.level == "fail" for check in project.doctor())
        with pytest.raises(DataError, match="no image of the project"):
            project.move_images(tmp_path / "before", tmp_path / "elsewhere")


def test_features_and_scores_of_a_prefix_stay_and_are_extended(world, tmp_path):
    with Project.create(tmp_path / "p", world.classes) as project:
        for name in world.dataset.image_ids[:40]:
            project.add_images(world.pictures / name, prefix="train/")
        project.import_labels(world.one, skip_unknown=True)
        give_features(world, project)
        project.train(epochs=2, device="cpu")
        features, scores, labels = (
            np.array(table) for table in (project.features(), project.scores(), project.labels.dense())
        )
        for name in world.dataset.image_ids[40:]:
            project.add_images(world.pictures / name, prefix="train/")
        project.add_classes(["mauve 10", "mauve 11"])
        assert project.import_labels(world.one).new == 20
        assert project.scores().shape == (40, 82)
        give_features(world, project)
        assert project.features().shape == (60, 80)
        assert project.scores().shape == (60, 82)
        assert np.array_equal(project.features()[:40], features)
        assert np.array_equal(project.scores()[:40, :80], scores)
        assert np.array_equal(project.labels.dense()[:40, :80], labels)
        assert len(project.propose().proposals) >= 0
        trained = project.train(epochs=2, device="cpu")
        assert trained.version == "0002"
        assert trained.images == 60
        assert project.scores().shape == (60, 82)


def test_a_renamed_class_and_an_alias_are_imported(world, tmp_path):
    with Project.create(tmp_path / "p", ["dog", "cat"]) as project:
        project.add_images(world.pictures)
        project.rename_class("dog", "hound")
        project.alias_class("cat", "felis")
        with pytest.raises(DataError, match="cannot be an alias"):
            project.alias_class("cat", "dog")
        file = tmp_path / "labels.csv"
        file.write_text("image,label\ntrain/00000.png,dog\ntrain/00001.png,felis\ntrain/00002.png,hound\n")
        project.import_labels(file)
        assert project.labels.count(1).tolist() == [2, 1]


def test_classes_added_later_do_not_void_the_checked_sample(world, project, tmp_path):
    project.answer(world.answers(project, [*project.ask_validation(12).new], tmp_path / "v.csv"))
    assert len(project.checked()[0]) == 12
    project.add_classes(["mauve 10"])
    rows, codes = project.checked()
    assert len(rows) == 12
    assert (codes[:, 80] == -1).all()
    asked = project.ask_validation(12)
    assert {question.remaining for question in asked.new} == {(80,)}
    assert len(asked.new) == 12
