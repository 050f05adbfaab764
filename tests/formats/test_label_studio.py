"""Label Studio JSON: read back by us, imported and exported again by the real server, and exports of others."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image
from strategies_formats import tables
from strategies_pictures import every_word, small_table

from spml_annotate.errors import DataError
from spml_annotate.formats.label_studio import load_label_studio, save_label_studio
from spml_annotate.studio.config import parse_config
from spml_annotate.studio.forms import FORMS
from spml_annotate.studio.predictions import check_prediction

FULL = {
    "annotators": ["ann", "ann", "", "bob", ""],
    "times": [1.5, 2.0, 9.0, 3.0, 0.0],
    "shown": [True, False, False, True, False],
}


def plain(name: str) -> bool:
    """Fit for XML."""
    return all(character.isprintable() or character in "\t\n\r\u200d\ufeff\u2028\xa0" for character in name)


@settings(deadline=None)
@given(tables())
def test_round_trip(table):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "tasks.json"
        try:
            save_label_studio(path, table)
        except DataError as error:
            assert "has a character that XML cannot hold" in str(error)  # noqa: PT017
            assert not path.exists()
            assert not all(map(plain, table.taxonomy.names))
            return
        back = load_label_studio(path)
    assert (back.taxonomy.names, back.image_ids) == (table.taxonomy.names, table.image_ids)
    assert back.split.tolist() == table.split.tolist()
    assert every_word(back) == every_word(table)


def test_what_is_written(tmp_path):
    save_label_studio(tmp_path / "tasks.json", small_table(**FULL))
    config = parse_config((tmp_path / "tasks.config.xml").read_text("utf-8"))
    assert config.classes == small_table().taxonomy.names
    first, second, third = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    assert first["data"] == {
        "image": "/data/local-files/?d=a%20b/1.jpg", "image_id": "a b/1.jpg", "split": "train",
    }  # fmt: skip
    chosen = [
        [(region["from_name"], region["value"]["choices"]) for region in body["result"]]
        for body in first["annotations"]
    ]
    assert chosen == [[("label", ["dog, hot"]), ("absent", ["café 🐈"])]]
    (prediction,) = first["predictions"]
    assert (prediction["score"], prediction["model_version"]) == (0.875, "ema")
    assert prediction["result"][0]["score"] == 0.875
    assert check_prediction(config, first["data"], prediction) == []
    assert [body["result"][0]["from_name"] for body in third["predictions"]] == ["absent"]
    assert (second["predictions"], third["annotations"]) == ([], [])


def test_addresses(tmp_path):
    from spml_annotate.formats.export import LabelTable
    from spml_annotate.taxonomy import Taxonomy

    table = LabelTable.of(Taxonomy(("cat",)), ["s3://b/1.jpg", "2.jpg"], [0, 0], [], [], [])
    save_label_studio(tmp_path / "t.json", table, address="https://host/")
    tasks = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert [task["data"]["image"] for task in tasks] == ["s3://b/1.jpg", "https://host/2.jpg"]


def region(control, *choices, **further):
    return {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": list(choices)}, **further}


def task(image="/data/upload/3/0a1b2c3d-my_cat.jpg", annotations=(), predictions=(), **data):
    return {"data": {"image": image, **data}, "annotations": list(annotations), "predictions": list(predictions)}


def annotation(number, *regions, user=1, **further):
    return {
        "id": number,
        "completed_by": user,
        "result": list(regions),
        "updated_at": "2026-01-02T03:04:05.5Z",
        **further,
    }


def load(tmp_path, *tasks, config=None, **options):
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    if config is not None:
        (tmp_path / "export.config.xml").write_text(config, encoding="utf-8")
    return load_label_studio(tmp_path / "export.json", **options)


def words(table):
    return [(at.image, at.label, at.value, at.source, at.annotator) for at in table]


def test_people_methods_and_skips(tmp_path):
    table = load(
        tmp_path,
        task(
            annotations=[
                annotation(1, region("label", "cat", "dog"), user=7),
                annotation(2, region("label", "cow"), user={"id": 8, "email": "ann@example.com"}, was_cancelled=True),
                annotation(
                    3, region("label", "cat"), region("absent", "cow"), user={"id": 8, "email": "ann@example.com"}
                ),
                annotation(4, region("unsure", "dog"), user=9),
            ],
            predictions=[
                {"id": 5, "result": [region("label", "cow", score=0.25)], "model_version": "v2", "score": 0.9},
                {"id": 6, "result": [region("label", "dog")], "score": 0.75},
                17,
            ],
        ),
        task("https://host/b.jpg"),
    )
    assert table.image_ids == ("upload/3/0a1b2c3d-my_cat.jpg", "host/b.jpg")
    image = table.image_ids[0]
    assert words(table) == [
        (image, "cat", 1, "human", "ls:user-7"),
        (image, "cat", 1, "human", "ls:ann@example.com"),
        (image, "dog", 1, "human", "ls:user-7"),
        (image, "dog", 1, "proposal:label-studio", ""),
        (image, "cow", 0, "human", "ls:ann@example.com"),
        (image, "cow", 1, "proposal:v2", ""),
    ]
    assert [at.score for at in table if at.source != "human"] == [0.75, 0.25]
    assert {at.time for at in table if at.source == "human"} == {1767323045.5}


def test_what_was_shown(tmp_path):
    proposal = {"id": 5, "result": [region("label", "cat")], "model_version": "v", "score": 0.5}
    annotations = [annotation(1, region("label", "cat", "dog"), parent_prediction=5)]
    table = load(tmp_path, task(annotations=annotations, predictions=[proposal]))
    assert {at.label: at.shown for at in table if at.source == "human"} == {"cat": True, "dog": False}
    table = load(tmp_path, task(annotations=annotations, predictions=[5]))  # an export names them only by number
    assert [at.shown for at in table] == [True, True]


def test_what_is_left_out_is_negative_where_the_annotation_says_so(tmp_path):
    tasks = [
        task("a/1.jpg", [annotation(1, region("label", "cat"), region("unsure", "dog"), region("complete", "yes"))]),
        task("a/2.jpg", [annotation(2, region("label", "cow"))]),
        task("a/3.jpg", [annotation(3, region("verdict", "no"))], query="dog"),
        task("a/4.jpg", [annotation(4)], spml_asked=["cow"]),
        task("a/5.jpg"),
    ]
    classes = ["cat", "dog", "cow"]
    none = [-1, -1, -1]
    found = load(tmp_path, *tasks, classes=classes).matrix().dense().tolist()
    assert found == [[1, -1, 0], [-1, -1, 1], [-1, 0, -1], none, none]
    found = load(tmp_path, *tasks, classes=classes, complete=True).matrix().dense().tolist()
    assert found == [[1, -1, 0], [0, 0, 1], [-1, 0, -1], [-1, -1, 0], none]


def test_a_config_gives_order_names_and_the_control(tmp_path):
    config = (
        '<View><Image name="i" value="$photo.url"/><Choices name="q" toName="i"><Choice value="good"/></Choices>'
        '<Choices name="kind" toName="i" choice="multiple">'
        '<Choice value="Dog" alias="d"/><Choice value="Cat" alias="c"/>'
        "</Choices></View>"
    )
    mine = {
        "data": {"photo": {"url": "http://h/x.jpg"}},
        "annotations": [annotation(1, region("q", "good"), region("kind", "c"))],
    }
    table = load(tmp_path, mine, config=config, control="kind")
    assert (table.taxonomy.names, words(table)) == (("Dog", "Cat"), [("h/x.jpg", "Cat", 1, "human", "ls:user-1")])
    mine["annotations"][0]["result"] = [region("kind", "gone")]
    with pytest.raises(DataError, match=r"\[0\]: annotation 1: 'gone' is no choice of the labelling config"):
        load(tmp_path, mine, config=config, control="kind")


def test_pictures_below_a_folder(tmp_path):
    root = tmp_path / "pictures"
    for name in ("in/my cat.jpg", "in/b.jpg", "c.jpg", "other/c.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(root / name)
    references = [
        "/data/upload/3/0a1b2c3d-my_cat.jpg",
        "/data/local-files/?d=pictures/in/b.jpg",
        "http://host/x/other/c.jpg?X-Amz-Signature=1",
        "s3://bucket/c.jpg",
    ]
    table = load(tmp_path, *map(task, references), root=root, classes=["cat"])
    assert table.image_ids == ("in/my cat.jpg", "in/b.jpg", "other/c.jpg", "c.jpg")
    with pytest.raises(DataError, match="is not there in the folder"):
        load(tmp_path, task("/data/upload/3/0a1b2c3d-my_dog.jpg"), root=root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: this is not JSON"),
        ("{}", "this is not a list of tasks"),
        (
            '[{"image": "a/b.jpg", "label": "cat"}]',
            "[0]: this is no task with 'data'; export the project in the format JSON",
        ),
        ('[{"data": {}}]', "[0]: task data: 'image' is not the address of a picture"),
        ('[{"data": {"image": "b.jpg"}, "annotations": 3}]', "[0]: 'annotations' is not a list"),
        ('[{"data": {"image": "b.jpg"}, "annotations": [3]}]', "[0]: annotation: it is int, not an object"),
        ('[{"data": {"image": "b.jpg"}, "annotations": [{"result": 3}]}]', "[0]: annotation 0: its result is int"),
        ('[{"data": {"image": "b.jpg"}, "predictions": [{"result": 3}]}]', "[0]: 'result' is not a list"),
        (
            json.dumps([task(predictions=[{"result": [region("label", "cat", score="high")]}])]),
            "[0]: label 'cat': its score or time is 'high', not a number",
        ),
        (
            json.dumps([task(annotations=[annotation(1, region("kind", "cat"), region("mood", "good"))])]),
            "[0]: there are choices of 'kind' and of 'mood'; say which control has the classes",
        ),
        (json.dumps([task()]), "no class is named in the file; give a class list"),
    ],
)
def test_malformed_files(tmp_path, text, message):
    (tmp_path / "export.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as raised:
        load_label_studio(tmp_path / "export.json")
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "export.json"))
    assert "\n" not in str(raised.value)


@pytest.fixture
def project(label_studio):
    """Makes a project with a config as the owner; (client, project id)."""
    with label_studio.client() as client:
        made = []

        def make(config):
            client.validate_config(config)
            made.append(client.create_project("a project of formats", config)["id"])
            return client, made[-1]

        yield make
        for number in made:
            client.delete_project(number)


def exported(client, number, path):
    """What the button "Export" gives, in the format JSON."""
    found = client.request(
        "GET", f"/api/projects/{number}/export", params={"exportType": "JSON", "download_all_tasks": "true"}
    )
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


@pytest.mark.slow
def test_the_server_imports_our_tasks_and_gives_every_label_back(project, tmp_path):
    table = small_table(**FULL)
    save_label_studio(tmp_path / "tasks.json", table)
    client, number = project((tmp_path / "tasks.config.xml").read_text("utf-8"))
    tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    ids = client.import_tasks(number, tasks)
    stored = [client.task(one) for one in ids]
    assert [len(one["annotations"]) for one in stored] == [1, 1, 0]
    assert [[p["score"] for p in one["predictions"]] for one in stored] == [[0.875], [], [0.25]]
    assert client.model_versions(number) == {"ema": 2}
    found = exported(client, number, tmp_path / "back.json")
    assert len(found) == 3
    back = load_label_studio(tmp_path / "back.json", config=tmp_path / "tasks.config.xml")
    people = [word for word in every_word(table) if word[3] == "human"]
    assert sorted(every_word(back)) == sorted(people)  # the format JSON of the server has predictions only by number
    assert set(back.image_ids) == set(table.image_ids)
    # with the predictions, as its pages of tasks have them
    (tmp_path / "whole.json").write_text(json.dumps(stored), encoding="utf-8")
    whole = load_label_studio(tmp_path / "whole.json", config=tmp_path / "tasks.config.xml")
    assert every_word(whole) == every_word(table)
    assert whole.split.tolist() == table.split.tolist()


@pytest.mark.slow
def test_a_real_export_of_what_annotators_did(project, label_studio, tmp_path):
    client, number = project(FORMS["exhaust"].config(["cat", "dog", "$5 note"]))
    first, second, third = client.import_tasks(
        number, [{"image": f"http://localhost/{name}.png"} for name in ("1", "2", "3")]
    )
    prediction = {"task": first, "result": [region("label", "cat")], "score": 0.5, "model_version": "v1"}
    client.import_predictions(number, [prediction])
    shown = client.task(first)["predictions"][0]["id"]
    client.annotate(first, [region("label", "cat", "$5 note"), region("unsure", "dog")], prediction=shown)
    client.annotate(second, [region("label", "dog")], skipped=True)
    with label_studio.client(label_studio.annotators["ann@example.com"]) as ann:
        ann.annotate(first, [region("label", "dog")])
        user = ann.whoami()["id"]
    exported(client, number, tmp_path / "export.json")
    owner = client.whoami()["id"]
    plain = load_label_studio(tmp_path / "export.json")
    assert plain.taxonomy.names == ("cat", "$5 note", "dog")
    assert set(plain.image_ids) == {f"localhost/{name}.png" for name in ("1", "2", "3")}
    image = "localhost/1.png"
    assert sorted(words(plain)) == sorted([
        (image, "cat", 1, "human", f"ls:user-{owner}"),
        (image, "$5 note", 1, "human", f"ls:user-{owner}"),
        (image, "dog", 1, "human", f"ls:user-{user}"),
    ])  # fmt: skip
    assert all(at.time > 1.7e9 for at in plain)
    assert {at.annotator: at.shown for at in plain} == {f"ls:user-{owner}": True, f"ls:user-{user}": False}
    (tmp_path / "config.xml").write_text(client.project(number)["label_config"], encoding="utf-8")
    full = load_label_studio(tmp_path / "export.json", config=tmp_path / "config.xml", complete=True)
    assert full.taxonomy.names == ("cat", "dog", "$5 note")
    said = {(at.label, at.annotator): at.value for at in full}
    assert said == {
        ("cat", f"ls:user-{owner}"): 1, ("$5 note", f"ls:user-{owner}"): 1,
        ("dog", f"ls:user-{user}"): 1, ("cat", f"ls:user-{user}"): 0, ("$5 note", f"ls:user-{user}"): 0,
    }  # fmt: skip
    assert third
