"""What a new user stumbles over in the first hour: it ends well, or in one line that says the remedy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from spml_annotate.cli import main
from spml_annotate.project import Project
from spml_annotate.stores.images import VALIDATION

RIGHTS = "-dac_override,-dac_read_search,-fowner"


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output.strip()


def draw(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 100, 200)).save(folder / name)
    return folder


@pytest.fixture
def small(tmp_path):
    """A project of four pictures, two of them in a folder of their own, and the classes cat, dog and café."""
    pictures = draw(tmp_path / "pictures", "a.png", "b.png", "sub/a.png", "sub/c.png")
    run("init", tmp_path / "p", "--classes", "cat,dog,café")
    run("images", "add", pictures, "--project", tmp_path / "p")
    return tmp_path / "p"


def without_rights(*arguments):
    """Run the command as somebody who may only do what the modes of files say; the superuser may do more."""
    before = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("the superuser may write everywhere, and setpriv is not there to give that up")
        before = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"]
    command = [*before, sys.executable, "-m", "spml_annotate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def lock(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.fixture
def finished(small, tmp_path):
    """The same project with a label, on a disk that may only be read; given back its rights for tidying up."""
    (tmp_path / "labels.csv").write_text("image,label\na.png,cat\n")
    run("import-labels", tmp_path / "labels.csv", "--project", small)
    lock(small)
    yield small
    for path in [small, *small.rglob("*")]:
        path.chmod(0o755)


def test_a_project_that_may_only_be_read_is_shown_and_exported(finished, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    status = without_rights("status", "--project", finished)
    assert (status.returncode, status.stderr) == (0, "")
    assert "1 positive" in status.stdout
    done = without_rights("export", tmp_path / "out.csv", "--project", finished)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.png" in (tmp_path / "out.csv").read_text()
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_writing_to_it_is_refused_in_one_line(finished, tmp_path):
    for arguments in (["images", "add", tmp_path / "pictures"], ["ask", "--pick"], ["classes", "add", "cow"]):
        done = without_rights(*arguments, "--project", finished)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "cannot write" in done.stderr or "check the permissions" in done.stderr


def test_answers_still_in_the_log_beside_the_database_are_read_there_too(small, tmp_path):
    project = Project(small)  # open, as a server would be: its words are in the write-ahead log
    (tmp_path / "labels.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    project.import_labels(tmp_path / "labels.csv")
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    project.close()
    assert (copy / "labels.sqlite-wal").stat().st_size
    lock(copy)
    done = without_rights("status", "--project", copy)
    assert "2 positive" in done.stdout, done.stderr
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)


def test_without_images_every_command_says_how_to_add_some(tmp_path):
    run("init", tmp_path / "p", "--classes", "cat,dog")
    for command in (["ask", "--pick"], ["ask", "--validation", "2"], ["ask"], ["train"], ["export", tmp_path / "out"]):
        said = run(*command, "--project", tmp_path / "p", code=2)
        if command != ["ask"]:  # which needs a model first
            assert said == "error: the project has no images yet; run `spml-annotate images add FOLDER`"
    assert not (tmp_path / "out").exists()


def test_a_sample_of_the_only_image_asks_for_more_images(tmp_path):
    run("init", tmp_path / "p", "--classes", "cat,dog")
    run("images", "add", draw(tmp_path / "one", "a.png"), "--project", tmp_path / "p")
    said = run("ask", "--validation", "1", "--project", tmp_path / "p", code=2)
    assert said.endswith("add more with `spml-annotate images add`")


def test_a_checked_sample_that_is_too_small_is_not_called_missing(world, tmp_path):
    from project_world import embedded_copy

    with embedded_copy(world, tmp_path / "p") as project:
        project.ask_validation(3)
        for question in project.open_questions():
            names = project.taxonomy.names
            with (tmp_path / "answers.csv").open("a") as file:
                file.write("question,label,answer\n" if file.tell() == 0 else "")
                file.write(f"{question.query.id},,no\n{question.query.id},{names[question.remaining[0]]},yes\n")
        project.answer(tmp_path / "answers.csv")
    said = run("train", "--epochs", "1", "--device", "cpu", "--project", tmp_path / "p")
    assert "the last one, for 10 checked images are needed, and there are 3, to choose by" in said
    said = run("propose", "--project", tmp_path / "p")
    assert "stated defaults, for 10 checked images are needed, and there are 3 (spml" in said


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage;label;value\r\nsub\\a.png;cat;1\r\nb.png;dog;0\r\n",
        "image\tlabel\tvalue\nsub/a.png\tcat\t1\nb.png\tdog\t0\n",
        '"image";"label";"value"\r\n".\\sub\\a.png";"cat";"1"\r\n"b.png";"dog";"0"\r\n\r\n',
    ],
)
def test_tables_as_spreadsheets_write_them(small, tmp_path, text):
    (tmp_path / "labels.csv").write_bytes(text.encode())
    said = run("import-labels", tmp_path / "labels.csv", "--project", small)
    assert said.startswith("2 labels on 2 images (1 yes, 1 no): 2 new")


def test_answers_with_semicolons(small, tmp_path):
    (tmp_path / "answers.csv").write_text("image;label;answer\na.png;cat;yes\na.png;dog;no\n")
    assert "2 answers stored" in run("answer", tmp_path / "answers.csv", "--project", small)


def test_whole_paths_of_this_machine_are_matched(small, tmp_path):
    (tmp_path / "labels.csv").write_text(f"image,label\n{tmp_path}/pictures/sub/a.png,cat\n")
    assert run("import-labels", tmp_path / "labels.csv", "--project", small).startswith("1 label on 1 image ")
    with Project(small) as project:
        assert project.labels.dense()[list(project.image_ids).index("sub/a.png")].tolist() == [1, -1, -1]


@pytest.mark.parametrize(("folder", "start"), [("C:\\data\\pics\\", "C:/data/pics/"), ("/home/bob/", "/home/bob/")])
def test_whole_paths_of_another_machine_are_explained_and_stripped(small, tmp_path, folder, start):
    file = tmp_path / "labels.csv"
    file.write_text(f"image,label\n{folder}sub\\a.png,cat\n{folder}b.png,dog\n")
    said = run("import-labels", file, "--project", small, code=2)
    assert f"without {start!r} all of them are: if these are the same images, use --strip {start!r}" in said
    for strip in (start, folder.rstrip("\\/")):
        assert run("import-labels", file, "--strip", strip, "--project", small).startswith("2 labels on 2 images")
    with Project(small) as project:
        assert len(project.workspace.log) == 2


def test_a_folder_that_the_names_lack_is_suggested(small, tmp_path):
    (tmp_path / "labels.csv").write_text("image,label\nc.png,cat\n")
    said = run("import-labels", tmp_path / "labels.csv", "--project", small, code=2)
    assert said.endswith("with 'sub/' before them all of them are: use --prefix 'sub/'")


def test_names_of_other_images_are_not_explained_away(small, tmp_path):
    (tmp_path / "labels.csv").write_text("image,label\nother/a.png,cat\nother/z.png,cat\n")
    said = run("import-labels", tmp_path / "labels.csv", "--project", small, code=2)
    assert "2 of 2 images" in said
    assert said.endswith("add the images, or use --skip-unknown")


def test_a_mistyped_class_is_guessed(small, tmp_path):
    (tmp_path / "labels.csv").write_text("image,label\na.png,Cta\n")
    said = run("import-labels", tmp_path / "labels.csv", "--project", small, code=2)
    assert "such as 'Cta' (did you mean 'cat'?); use `spml-annotate classes add NAME`" in said


def test_a_picture_is_not_taken_for_a_table(small, tmp_path):
    said = run("import-labels", tmp_path / "pictures" / "a.png", "--project", small, code=2)
    assert "this looks like no known format" in said


@pytest.mark.parametrize("form", ["coco", "label-studio"])
def test_exports_without_an_ending_come_back(small, tmp_path, form):
    (tmp_path / "labels.csv").write_text("image,label,value\na.png,cat,1\nb.png,dog,0\n")
    run("import-labels", tmp_path / "labels.csv", "--project", small)
    run("export", tmp_path / "out", "--format", form, "--project", small)
    run("init", tmp_path / "q", "--classes", "cat,dog,café")
    run("images", "add", tmp_path / "pictures", "--project", tmp_path / "q")
    assert run("import-labels", tmp_path / "out", "--project", tmp_path / "q").startswith("2 labels on 2 images")


def test_unreadable_pictures_do_not_stop_an_export(small, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    (more / "text.jpg").write_text("no picture")
    (more / "gone.jpg").symlink_to("nowhere.jpg")
    (more / "phone.heic").write_bytes(b"ftypheic")
    draw(more, "good.png")
    said = run("images", "add", more, "--project", small)
    assert "1 picture of kinds that are not read (.heic) left out, such as phone.heic; convert them" in said
    assert "  text.jpg: this is not a picture in a format that can be read; convert it to PNG" in said
    for form in ("coco", "voc", "huggingface"):
        said = run("export", tmp_path / form, "--format", form, "--project", small)
        assert "2 images left out: cannot be read" in said


def test_a_folder_of_other_pictures_says_what_to_do(small, tmp_path):
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "IMG_1.HEIC").write_bytes(b"ftypheic")
    said = run("images", "add", tmp_path / "phone", "--project", small, code=2)
    assert said.endswith("convert IMG_1.HEIC and the like to JPEG or PNG")


def test_errors_of_an_export_name_the_place_that_was_asked_for(small, tmp_path):
    (tmp_path / "pictures" / "b.png").unlink()
    said = run("export", tmp_path / "out", "--format", "coco", "--project", small, code=2)
    assert said.startswith(f"error: {tmp_path / 'out'}: ")
    assert ".tmp" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".", "..", Path(Path.cwd().anchor)])
def test_an_export_over_a_whole_disk_or_folder_is_refused_at_once(small, place):
    assert "name a file or folder in it" in run("export", place, "--project", small, code=2)


def test_empty_class_names_are_refused(tmp_path):
    assert run("init", tmp_path / "p", "--classes", " , ", code=2).startswith("error: --classes is empty")


def test_when_everything_is_known_the_next_step_is_the_export(world, tmp_path):
    from project_world import embedded_copy

    with embedded_copy(world, tmp_path / "p") as project:
        rows, labels = np.nonzero(world.dataset.truth >= 0)
        ids = [project.image_ids.index(name) for name in world.dataset.image_ids]
        project.workspace.images.set_split(np.arange(0, 60, 3), VALIDATION)
        project.workspace.log.append_many(np.array(ids)[rows], labels, world.dataset.truth[rows, labels])
        project.train(epochs=1, device="cpu")
    assert "spml-annotate export OUT: everything is known" in run("status", "--project", tmp_path / "p")
