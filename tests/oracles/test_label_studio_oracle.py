"""`Project.collect` with people in a real Label Studio, for every kind of question."""

import numpy as np
import pytest
from PIL import Image

from spml_annotate.acquire import Query
from spml_annotate.errors import DataError
from spml_annotate.labels import NEGATIVE, POSITIVE, UNKNOWN
from spml_annotate.oracles.label_studio import LabelStudioOracle
from spml_annotate.project import Project
from spml_annotate.studio.forms import FORMS

pytestmark = pytest.mark.slow
CLASSES = ["heron", "gull", "tern"]
EVERYTHING = (0, 1, 2)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(len(FORMS)):
        Image.new("RGB", (16, 16), (50 * number, 9, 9)).save(tmp_path / "pictures" / f"{number}.png")
    with Project.create(tmp_path / "project", CLASSES) as made:
        made.add_images(tmp_path / "pictures")
        yield made


@pytest.fixture
def oracle_of(label_studio, project, request):
    with label_studio.client() as client:
        title = request.node.name[:40]

        def make():
            workspace = project.workspace
            return LabelStudioOracle(
                client, project.taxonomy.names, workspace.image_path, workspace.log.about, title=title
            )

        yield make
        for number in make().projects.values():
            client.delete_project(number)


def region(values, name):
    found = {"id": f"r-{name}", "from_name": name, "to_name": "image", "type": "choices"}
    return {**found, "value": {"choices": values}}


ANSWERS = {
    "pick": ([region(["gull"], "label")], [UNKNOWN, POSITIVE, UNKNOWN]),
    "verify": ([region(["no"], "verdict")], [NEGATIVE, UNKNOWN, UNKNOWN]),
    "page": ([region(["tern"], "label")], [UNKNOWN, NEGATIVE, POSITIVE]),
    "list": ([region(["heron"], "label"), region(["yes"], "complete")], [POSITIVE, NEGATIVE, NEGATIVE]),
    "exhaust": ([], [NEGATIVE, NEGATIVE, NEGATIVE]),
}
QUERIES = {"verify": ((0,), ()), "page": ((1, 2), (2,))}


def test_every_kind_of_question(label_studio, project, oracle_of):
    oracle = oracle_of()
    queries = []
    for row, kind in enumerate(FORMS):
        labels, shown = QUERIES.get(kind, (EVERYTHING, ()))
        queries.append(Query(row, labels, kind, shown, 2.0).named("test"))
    oracle.ask(queries)
    assert set(oracle.projects) == set(FORMS)
    assert project.collect(oracle) == 0
    token = label_studio.annotators["ann@example.com"]
    with label_studio.client() as owner, label_studio.client(token) as ann:
        given = {}
        for kind, number in oracle.projects.items():
            (task,) = owner.tasks(number)
            given[kind] = ann.annotate(task["id"], ANSWERS[kind][0], lead_time=4.0)
        assert project.collect(oracle) > 0
        assert project.collect(oracle_of()) == 0, "another process finds the same answers and gives none twice"
        for row, kind in enumerate(FORMS):
            assert project.labels.dense([row])[0].tolist() == ANSWERS[kind][1], kind
        log = list(project.workspace.log)
        assert {said.question for said in log} == {query.id for query in queries}
        assert sum(said.seconds for said in log) == 4.0 * len(FORMS)
        assert {said.annotator for said in log} == {"ls:ann@example.com"}

        ann.update_annotation(given["verify"]["id"], result=[region(["yes"], "verdict")])
        ann.delete_annotation(given["exhaust"]["id"])
        project.collect(oracle)
    table = project.labels.dense(np.arange(len(FORMS)))
    assert table[list(FORMS).index("verify"), 0] == POSITIVE
    assert (table[list(FORMS).index("exhaust")] == UNKNOWN).all()


def test_asking_again_puts_nothing_twice(label_studio, oracle_of):
    query = Query(0, (0,), "verify").named("once")
    oracle_of().ask([query])
    oracle_of().ask([query, Query(1, (0,), "verify").named("once")])
    with label_studio.client() as owner:
        tasks = list(owner.tasks(oracle_of().projects["verify"]))
    assert len({task["data"]["spml_question"] for task in tasks}) == len(tasks) == 2
    with label_studio.client() as owner, pytest.raises(DataError, match="1 to 40"):
        LabelStudioOracle(owner, CLASSES, lambda row: row, lambda row: [], title="q" * 41)
    with pytest.raises(DataError, match="cannot be put"):
        oracle_of().ask([Query(0, (0,), "verify")])
