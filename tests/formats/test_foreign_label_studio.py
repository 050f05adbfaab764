"""What Label Studio exports besides choices in JSON: labels of regions, and its tables."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spml_annotate.errors import DataError
from spml_annotate.formats.label_studio import load_label_studio
from spml_annotate.formats.telling import tell_format

BOXES = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">'
    '<Label value="Cat" alias="c"/><Label value="hot dog"/><Label value="cow"/></RectangleLabels>'
    '<KeyPointLabels name="dot" toName="image"><Label value="Nose"/></KeyPointLabels></View>'
)
CHOICES = (
    '<Choices name="scene" toName="image" choice="multiple">'
    '<Choice value="indoor"/><Choice value="out, door"/></Choices>'
)
BOTH = BOXES.replace("</View>", f"{CHOICES}</View>")
CSV = """\
"annotation_id","annotator","box","created_at","dot","id","image","lead_time","scene","updated_at"
4,"1","[{""x"":1,""y"":1,""width"":5,""height"":5,""rotation"":0,""rectanglelabels"":[""c""],""original_width"":8,\
""original_height"":6},{""x"":1,""y"":1,""width"":5,""height"":5,""rotation"":0,""rectanglelabels"":[""hot dog""]}]",\
"2026-11-21T13:13:15.254365Z","[{""x"":1,""y"":1,""width"":0.5,""keypointlabels"":[""Nose""]}]",5,\
"http://localhost/1.png","3.5","{""choices"":[""indoor"",""out, door""]}","2026-11-21T13:13:15.254391Z"
5,"ann@example.com","","2026-11-21T13:13:15.331032Z","",6,"http://localhost/2.png","","indoor",\
"2026-11-21T13:13:15.331060Z"
6,"1","","2026-11-21T13:13:15.406642Z","",7,"http://localhost/3.png","","out, door","2026-11-21T13:13:15.406668Z"
"","","","","",8,"http://localhost/4.png","","",""
"""
"""As the server writes it, unlabelled tasks and all."""
SCENES = {("1", "indoor"), ("1", "out, door"), ("2", "indoor"), ("3", "out, door")}


def region(control, kind, *labels, **further):
    value = {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0, kind: list(labels)}
    return {"id": "r1", "from_name": control, "to_name": "image", "type": kind, "value": value, **further}


def box(*labels, **further):
    return region("box", "rectanglelabels", *labels, **further)


def ticked(*choices):
    return {"from_name": "scene", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}}


def task(name, *annotations, predictions=()):
    said = [{"id": n, "completed_by": 1, "result": result} for n, result in enumerate(annotations, start=1)]
    return {"data": {"image": f"http://localhost/{name}.png"}, "annotations": said, "predictions": list(predictions)}


def load(tmp_path, content, config="", suffix=".json", **options):
    path = tmp_path / f"export{suffix}"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    if config:
        (tmp_path / "export.config.xml").write_text(config, "utf-8")
    assert tell_format(path) == "label-studio"
    return load_label_studio(path, **options)


def short(image):
    return image.rpartition("/")[2].removesuffix(".png")


def cells(table):
    assert {at.value for at in table} <= {1}  # no region and no choice is a negative
    return {(short(at.image), at.label) for at in table}


@pytest.mark.parametrize(
    "kind",
    ["rectanglelabels", "polygonlabels", "ellipselabels", "keypointlabels", "brushlabels", "bitmasklabels", "labels"],
)
def test_a_labelled_region_says_that_the_class_is_there(tmp_path, kind):
    drawn = [region("a", kind, "cat"), region("a", kind, "cat"), region("a", kind, "hot dog", "cat"), region("a", kind)]
    found = load(tmp_path, [task("1", drawn), task("2", [])])
    assert [(short(at.image), at.label, at.value, at.source, at.annotator) for at in found] == [
        ("1", "cat", 1, "human", "ls:user-1"),
        ("1", "hot dog", 1, "human", "ls:user-1"),
    ]
    assert found.matrix().dense().tolist() == [[1, 1], [-1, -1]]


def test_labels_of_text_and_sound_are_no_regions_of_a_picture(tmp_path):
    said = {"from_name": "a", "type": "labels", "value": {"start": 1, "end": 2, "labels": ["cat"]}}
    html = {"from_name": "a", "type": "hypertextlabels", "value": {"start": "/p", "hypertextlabels": ["cat"]}}
    with pytest.raises(DataError, match="no class is named in the file"):
        load(tmp_path, [task("1", [said, html])])


def test_predicted_regions_are_one_proposal_with_the_best_score(tmp_path):
    predicted = [
        {"id": 1, "model_version": "yolo", "score": 0.3, "result": [box("c", score=0.5), box("c", score=0.75)]},
        {"id": 2, "score": 0.25, "result": [box("hot dog"), box("hot dog", score=0.125)]},
    ]
    found = load(tmp_path, [task("1", [box("hot dog")], predictions=predicted)], BOXES)
    assert [(at.label, at.value, at.source, at.score) for at in found if at.source != "human"] == [
        ("Cat", 1, "proposal:yolo", 0.75),
        ("hot dog", 1, "proposal:label-studio", 0.25),
    ]
    wrong = [{"result": [box("c", score="high"), box("c", score=0.5)]}]
    with pytest.raises(DataError, match="its score or time is 'high', not a number"):
        load(tmp_path, [task("1", predictions=wrong)], BOXES)


def test_what_was_shown_is_known_for_regions_too(tmp_path):
    said = task("1", [box("c"), box("cow")])
    said["annotations"][0].update(parent_prediction=5, prediction={"id": 5, "result": [box("c", score=0.5)]})
    assert {at.label: at.shown for at in load(tmp_path, [said], BOXES)} == {"Cat": True, "cow": False}


def test_a_config_names_the_labels_and_the_control(tmp_path):
    tasks = [task("1", [box("c"), region("dot", "keypointlabels", "Nose")]), task("2", [box("hot dog")])]
    found = load(tmp_path, tasks, BOXES)
    assert found.taxonomy.names == ("Cat", "hot dog", "cow", "Nose")
    assert cells(found) == {("1", "Cat"), ("1", "Nose"), ("2", "hot dog")}
    found = load(tmp_path, tasks, BOXES, control="box")
    assert (found.taxonomy.names, cells(found)) == (("Cat", "hot dog", "cow"), {("1", "Cat"), ("2", "hot dog")})
    with pytest.raises(DataError, match=r"\[0\]: annotation 1: 'dog' is no choice of the labelling config"):
        load(tmp_path, [task("1", [box("dog")])], BOXES)


@pytest.mark.parametrize("config", ["", BOTH])
def test_choices_win_unless_the_other_control_is_named(tmp_path, config):
    tasks = [task("1", [box("c"), ticked("indoor")]), task("2", [box("hot dog")])]
    assert cells(load(tmp_path, tasks, config)) == {("1", "indoor")}
    found = load(tmp_path, tasks, config, control="box")
    assert cells(found) == {("1", "Cat" if config else "c"), ("2", "hot dog")}


@pytest.mark.parametrize(
    "config", ["", BOXES.replace("</View>", CHOICES.replace("<Choices", '<Choices perRegion="true"') + "</View>")]
)
def test_choices_about_a_region_are_not_about_the_picture(tmp_path, config):
    about = ticked("indoor")
    about["value"].update(x=1, y=1, width=5, height=5)
    assert cells(load(tmp_path, [task("1", [box("c"), about])], config)) == {("1", "Cat" if config else "c")}


def test_labels_that_come_with_the_task(tmp_path):
    config = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image" value="$names"/></View>'
    )
    assert cells(load(tmp_path, [task("1", [box("c")])], config)) == {("1", "c")}


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tables(tmp_path, suffix):
    text = CSV if suffix == ".csv" else as_tabs(CSV)
    found = load(tmp_path, text, suffix=suffix)
    assert cells(found) == SCENES
    assert [short(image) for image in found.image_ids] == ["1", "2", "3", "4"]
    assert {short(at.image): at.annotator for at in found}["2"] == "ls:ann@example.com"
    assert min(at.time for at in found) == pytest.approx(1795266795.254391)
    assert cells(load(tmp_path, text, suffix=suffix, control="box")) == {("1", "c"), ("1", "hot dog")}
    assert cells(load(tmp_path, text, BOTH, suffix, control="box")) == {("1", "Cat"), ("1", "hot dog")}
    assert cells(load(tmp_path, text, BOTH, suffix)) == SCENES


def as_tabs(text):
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def test_a_table_whose_choices_are_single_needs_the_name_of_the_control(tmp_path):
    text = "id,image,scene,annotator,annotation_id,created_at,updated_at,lead_time\n"
    text += "1,/data/upload/1/1.png,indoor,1,7,2024-01-01T10:00:00Z,2024-01-01T10:00:00Z,2.5\n"
    with pytest.raises(DataError, match=r"JSON_MIN, CSV or TSV; say which key .* out of image, scene, or give"):
        load(tmp_path, text, suffix=".csv")
    assert cells(load(tmp_path, text, suffix=".csv", control="scene")) == {("1", "indoor")}
    assert cells(load(tmp_path, text.replace(",7,", ",7.0,"), BOTH, ".csv")) == {("1", "indoor")}


def test_a_table_with_regions_alone_needs_no_name(tmp_path):
    least = [
        {
            "image": "http://localhost/1.png",
            "id": 1,
            "box": [{"x": 1, "rectanglelabels": ["c", "cow"]}],
            "annotator": 1,
        },
        {"image": "http://localhost/2.png", "id": 2, "annotator": None, "annotation_id": None, "created_at": None},
    ]
    least[0]["annotation_id"] = 1
    found = load(tmp_path, least)
    assert (cells(found), len(found.image_ids)) == ({("1", "c"), ("1", "cow")}, 2)


def test_other_tables_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("image,label\na,cat\n")
    with pytest.raises(DataError, match="neither JSON nor a table that Label Studio exported"):
        load_label_studio(tmp_path / "a.csv")
    short_line = CSV.splitlines()[0] + "\n1,2\n"
    with pytest.raises(DataError, match="line 2: 2 columns where the header has 10"):
        load(tmp_path, short_line, suffix=".csv")


def test_a_mask_that_is_too_long_for_a_cell_is_told(tmp_path):
    mask = json.dumps([{"format": "rle", "rle": [1] * 70_000, "brushlabels": ["cat"]}])
    text = CSV.splitlines()[0] + '\n1,"1","' + mask.replace('"', '""') + '","","",5,"a/1.png","","",""\n'
    with pytest.raises(DataError, match=r"line 2: a cell has more than 131,072 characters; .* or save as JSON"):
        load(tmp_path, text, suffix=".csv")
    found = load(tmp_path, [{"image": "a/1.png", "mask": json.loads(mask), "annotation_id": 1, "annotator": 1}])
    assert cells(found) == {("1", "cat")}


def test_a_single_task(tmp_path):
    assert cells(load(tmp_path, task("1", [ticked("indoor")]))) == {("1", "indoor")}
    predicted = {"result": [ticked("indoor")], "score": 0.5}
    alone = {"data": {"image": "http://localhost/1.png"}, "predictions": [predicted]}
    assert [at.score for at in load(tmp_path, alone)] == [0.5]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["box", "cat", "a/1.png", "", "2024-01-01", "["]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "data",
                        "annotations",
                        "predictions",
                        "result",
                        "from_name",
                        "value",
                        "rectanglelabels",
                        "choices",
                        "x",
                    ),
                    *(
                        "image",
                        "annotation_id",
                        "annotator",
                        "id",
                        "score",
                        "prediction",
                        "completed_by",
                        "scene",
                        "taxonomy",
                    ),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(deadline=None, max_examples=300)
@given(content=st.lists(ODD, max_size=3), control=st.sampled_from(["", "box", "scene"]), config=st.booleans())
def test_whatever_is_in_the_file_it_is_read_or_refused(tmp_path_factory, content, control, config):
    folder = tmp_path_factory.mktemp("odd")
    drawn = {"data": {"image": "a/1.png"}, "annotations": [{"id": 1, "result": [box("c"), *content]}]}
    (folder / "config.xml").write_text(BOTH, "utf-8")
    for tasks in (content, [drawn, *content]):
        (folder / "a.json").write_text(json.dumps(tasks), "utf-8")
        try:
            load_label_studio(folder / "a.json", control=control, config=folder / "config.xml" if config else None)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.slow
def test_all_exports_of_the_real_server_say_the_same(label_studio, tmp_path):
    with label_studio.client() as client:
        number = client.create_project("boxes and scenes", BOTH)["id"]
        try:
            ids = client.import_tasks(number, [{"image": f"http://localhost/{name}.png"} for name in "1234"])
            dot = region("dot", "keypointlabels", "Nose", id="r2")
            client.annotate(ids[0], [box("c"), box("hot dog", id="r3"), dot, ticked("indoor", "out, door")])
            client.annotate(ids[1], [ticked("indoor")])
            client.annotate(ids[2], [ticked("out, door")])
            for kind in ("JSON", "JSON_MIN", "CSV", "TSV"):
                answer = httpx.get(
                    f"{label_studio.url}/api/projects/{number}/export",
                    params={"exportType": kind, "download_all_tasks": "true"},
                    headers={"Authorization": f"Token {label_studio.token}"},
                    trust_env=False,
                )
                suffix = ".json" if "JSON" in kind else f".{kind.lower()}"
                assert answer.status_code == 200
                found = load(tmp_path, answer.text, suffix=suffix)
                assert (cells(found), len(found.image_ids)) == (SCENES, 4)
                found = load(tmp_path, answer.text, suffix=suffix, control="box")
                assert (cells(found), len(found.image_ids)) == ({("1", "c"), ("1", "hot dog")}, 4)
        finally:
            client.delete_project(number)
