"""The whole work in Python, with the built-in features."""

import numpy as np

from spml_annotate import Project
from spml_annotate.formats.parquet import load_parquet


def test_from_pictures_to_an_exported_data_set(world, tmp_path):
    with Project.create(tmp_path / "p", world.classes, name="scenes") as project:
        assert project.add_images(world.pictures).new == 60
        project.import_labels(world.one)
        embedded = project.embed(device="cpu", batch_size=16)
        assert (embedded.new, embedded.width) == (60, project.features().shape[1])
        assert project.embed().new == 0
        assert project.train(epochs=3, device="cpu").selected_by == "last epoch"
        project.answer(world.answers(project, [*project.ask_validation(12).new], tmp_path / "v.csv"))
        trained = project.train(epochs=3, device="cpu")
        assert (trained.selected_by, trained.validation_images) == ("validation mAP", 12)
        project.propose()
        asked = project.ask("expected-positives:list", budget=120)
        project.answer(world.answers(project, [*asked.new], tmp_path / "a.csv"))
        assert project.evaluate().images == 12
        project.export(tmp_path / "out")
        known = project.labels.dense()
    with Project(tmp_path / "p") as again:
        assert np.array_equal(again.labels.dense(), known)
        assert again.scores().shape == (60, 80)
        assert load_parquet(tmp_path / "out").image_ids == again.image_ids
