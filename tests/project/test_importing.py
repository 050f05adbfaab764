"""Labels that exist already: matched by name, imported once, refused with counts and examples."""

import numpy as np
import pytest

from spml_annotate.errors import DataError
from spml_annotate.formats.images import image_paths, match_rows
from spml_annotate.labels import Observation
from spml_annotate.project import Project


def test_the_same_file_again_changes_nothing(world, project):
    before = list(project.workspace.log)
    again = project.import_labels(world.one)
    assert (again.labels, again.new) == (60, 0)
    assert list(project.workspace.log) == before
    assert {said.source for said in before} == {"import:one.csv"}
    assert project.labels.kind().value == "SPL"


def test_unknown_images_are_counted_and_named_and_nothing_is_added(project, tmp_path):
    file = tmp_path / "more.csv"
    file.write_text("image,label\ntrain/00000.png,red 0\na.png,red 0\na.png,red 1\nb.png,red 0\n")
    count = len(project.workspace.log)
    with pytest.raises(DataError, match=r"2 of 3 images are not in the project, such as 'a.png', 'b.png'"):
        project.import_labels(file)
    assert len(project.workspace.log) == count
    done = project.import_labels(file, skip_unknown=True)
    assert (done.labels, done.left_out) == (1, 3)


def test_unknown_classes_are_counted_and_named(project, tmp_path):
    file = tmp_path / "more.csv"
    file.write_text("image,label\ntrain/00000.png,mauve 0\ntrain/00001.png,mauve 1\ntrain/00001.png,red 1\n")
    with pytest.raises(DataError, match=r"2 of 3 classes are not in the project, such as 'mauve 0', 'mauve 1'"):
        project.import_labels(file)


def test_one_hot_and_missing_as_negative(project, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("image,red 0,red 1,blue 2\ntrain/00000.png,1,0,\ntrain/00001.png,,1,1\n")
    before = project.labels.known
    done = project.import_labels(file, annotator="ann", missing="negative")
    assert (done.positives, done.negatives) == (3, 3)
    assert project.labels.known <= before + 6
    assert project.import_labels(file, annotator="ann", missing="negative").new == 0


def test_an_export_is_imported_with_its_annotators(world, project, tmp_path):
    project.observe([Observation(3, 5, "no", "ann", time=12.0), Observation(3, 5, "no", "bob", time=13.0)])
    project.export(tmp_path / "out")
    project.export(tmp_path / "out.csv")
    with world.project(tmp_path / "other") as other:
        known = project.labels.dense()
        for source in (tmp_path / "out", tmp_path / "out.csv"):
            other.import_labels(source)
            assert np.array_equal(other.labels.dense(), known)
        assert {"ann", "bob", "import"} == {said.annotator for said in other.workspace.log}


def test_features_files_bring_labels_and_splits(world, project, tmp_path):
    ids = world.dataset.image_ids[:3]
    codes = np.full((3, 80), -1, dtype=np.int8)
    codes[:, 7] = [1, 0, 1]
    names = np.array(world.dataset.taxonomy.names)
    np.savez(
        tmp_path / "f.npz",
        features=np.ones((3, 2), np.float32),
        labels=codes,
        label_names=names,
        image_ids=np.array(ids),
        split=np.array([0, 1, 2]),
    )
    done = project.import_labels(tmp_path / "f.npz", splits=True)
    assert (done.labels, done.moved) == (3, 2)
    assert project.workspace.images.splits()[:3].tolist() == [0, 1, 2]
    assert project.labels.dense([1])[0, 7] == 0


def test_names_match_in_either_unicode_form(tmp_path, world):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    picture = next(world.pictures.rglob("*.png")).read_bytes()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / f"{decomposed}.png").write_bytes(picture)
    with Project.create(tmp_path / "p", [composed, "tea"]) as project:
        project.add_images(tmp_path / "pictures")
        labels = tmp_path / "labels.csv"
        labels.write_text(f"image,label\n{composed}.png,{decomposed}\n")
        assert project.import_labels(labels).new == 1
        answers = tmp_path / "answers.csv"
        answers.write_text(f"image,label,answer\n{composed}.png,tea,no\n")
        assert project.answer(answers).new == 1
        assert project.labels.dense().tolist() == [[1, 0]]


def test_rows_and_files_are_found_in_either_unicode_form(tmp_path):
    composed, decomposed = "\u00e9.png", "e\u0301.png"
    assert match_rows([composed, "a.png"], ["a.png", decomposed]).tolist() == [1, 0]
    (tmp_path / decomposed).write_bytes(b"")
    assert image_paths(tmp_path, [composed]) == [tmp_path / decomposed]
    with pytest.raises(DataError, match="is not in the folder"):
        image_paths(tmp_path, ["\u00e8.png"])
