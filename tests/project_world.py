"""A small labelling project on scenes whose truth is known, and a person who answers from it; tests share it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spml_annotate.datasets.scenes import load_scenes, write_scenes
from spml_annotate.datasets.single import single_positives
from spml_annotate.formats.dataset import Dataset
from spml_annotate.labels import POSITIVE
from spml_annotate.project import OpenQuestion, Project


@dataclass(frozen=True)
class World:
    """``pictures`` is a folder of PNG files, ``one`` a CSV with one positive of each, ``classes`` the class list."""

    dataset: Dataset
    pictures: Path
    classes: Path
    one: Path

    def positives(self, image: str) -> set[str]:
        """Names of the classes that are on an image."""
        row = self.dataset.image_ids.index(image)
        return {self.dataset.taxonomy.names[label] for label in np.flatnonzero(self.dataset.truth[row] == POSITIVE)}

    def lines(self, image: str, question: str, labels: list[str], seconds: float = 2.0) -> list[list[str]]:
        """Lines of a file of answers: what is there by name, and no more."""
        there = self.positives(image)
        named = [[question, label, "yes", str(seconds)] for label in labels if label in there]
        return [*named, [question, "", "no", str(seconds)]]

    def answers(self, project: Project, questions: list[OpenQuestion], path: Path) -> Path:
        """A CSV that answers questions truthfully."""
        names, ids = project.taxonomy.names, project.image_ids
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["question", "label", "answer", "seconds"])
            for question in questions:
                asked = [names[label] for label in question.remaining]
                writer.writerows(self.lines(ids[question.query.row], question.query.id, asked))
        return path

    def project(self, folder: Path) -> Project:
        """A project with the images and one positive of each, not embedded."""
        project = Project.create(folder, self.classes)
        project.add_images(self.pictures)
        project.import_labels(self.one)
        return project


def make_world(folder: Path, images: int = 60) -> World:
    """Draw the scenes and write the files."""
    dataset = load_scenes(train=images, validation=0, test=0, size=48)
    pictures = write_scenes(folder, dataset)
    picks = single_positives(dataset.truth, np.arange(images), seed=0)
    lines = [f"{dataset.image_ids[row]},{dataset.taxonomy.names[label]}" for row, label in enumerate(picks)]
    one = folder / "one.csv"
    one.write_text("\n".join(["image,label", *lines]) + "\n")
    return World(dataset, pictures, folder / "classes.txt", one)


def embedded_copy(world: World, folder: Path) -> Project:
    """A project with features that need no network: random, but the same each time, where the truth shows."""
    project = world.project(folder)
    give_features(world, project)
    return project


def give_features(world: World, project: Project) -> None:
    """Store features of all images as `embed` would, made from the truth and noise."""
    from spml_annotate.workspace import FeatureSettings

    workspace = project.workspace
    count, key = len(workspace.images), "made-up"
    rows = [world.dataset.image_ids.index(name) for name in workspace.images.ids()]
    noise = np.random.default_rng(0).normal(size=(count, 80)) * 0.3
    with workspace.writing("test"):
        writer = workspace.features.writer(key, workspace.images.fingerprint, count, 80, backbone=key)
        with writer:
            writer.write(writer.done, (world.dataset.truth[rows] + noise)[writer.done :])
            writer.commit()
        workspace.update(features=FeatureSettings(key, backbone="made-up"))
