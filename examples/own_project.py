"""A labelling project from pictures to an exported data set, answered by a simulated annotator.

Command:

    python examples/own_project.py

Output:

    240 pictures added, 240 first labels imported
    checked 40 random pictures: 3.27 positives each
    model 0001 by validation mAP: 0.438
    asked 49 questions about 10 minutes of work; 3871 answers
    model 0002 by validation mAP: 0.506
    exported 240 pictures with 7271 labels of people
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spml_annotate import Project
from spml_annotate.datasets.scenes import load_scenes, write_scenes
from spml_annotate.datasets.single import single_positives
from spml_annotate.oracles.simulated import SimulatedOracle
from spml_annotate.project import OpenQuestion

folder = Path(tempfile.mkdtemp())
data = load_scenes(train=240, validation=0, test=0)
pictures = write_scenes(folder / "scenes", data)
first = single_positives(data.truth, np.arange(240), seed=0)
lines = [f"{name},{data.taxonomy.names[label]}" for name, label in zip(data.image_ids, first, strict=True)]
(folder / "first.csv").write_text("image,label\n" + "\n".join(lines) + "\n")

project = Project.create(folder / "project", data.taxonomy)
added = project.add_images(pictures)
imported = project.import_labels(folder / "first.csv")
print(f"{len(project.image_ids)} pictures added, {imported.new} first labels imported")
project.embed(backbone="builtin", device="cpu")

truth = data.truth[[data.image_ids.index(name) for name in project.image_ids]]
annotator = SimulatedOracle(truth, np.full(len(truth), -1))


def answer(questions: Sequence[OpenQuestion]) -> int:
    """Put open questions to the annotator and write the answers down."""
    annotator.ask([question.query for question in questions])
    return project.collect(annotator)


answer(project.ask_validation(40).new)
rows, codes = project.checked()
print(f"checked {len(rows)} random pictures: {(codes == 1).sum(axis=1).mean():.2f} positives each")
for _ in range(2):
    model = project.train(loss="en", device="cpu")
    print(f"model {model.version} by {model.selected_by}: {model.validation_map:.3f}")
    if model.version == "0001":
        asked = project.ask("expected-positives:list", budget=600.0)
        print(f"asked {len(asked.new)} questions about 10 minutes of work; {answer(asked.new)} answers")

done = project.export(folder / "labelled", labels="human")
print(f"exported {done.images} pictures with {done.human} labels of people")
