"""The silhouette: shape without colour, of simple pictures alone."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from spml_annotate.datasets.scenes import load_scenes
from spml_annotate.embed.backbones import load_backbone
from spml_annotate.embed.builtin import BUILTIN_PREPROCESSING
from spml_annotate.embed.pictures import ArrayPictures
from spml_annotate.embed.silhouette import Silhouette, single_things
from spml_annotate.labels import POSITIVE, UNKNOWN
from spml_annotate.training import HeadRun, fit_heads

SHAPES = ("disc", "square", "triangle", "cross", "ring")


def draw(shape: str, seed: int, size: int = 64) -> Image.Image:
    """One shape in any colour before any colour, anywhere."""
    chance = np.random.default_rng([SHAPES.index(shape), seed])
    while True:
        ground, ink = (tuple(int(v) for v in chance.integers(0, 256, 3)) for _ in range(2))
        if sum(abs(a - b) for a, b in zip(ground, ink, strict=True)) > 200:
            break
    picture = Image.new("RGB", (size, size), ground)
    pen = ImageDraw.Draw(picture)
    r = int(chance.integers(12, 20))
    x, y = (int(v) for v in chance.integers(r + 3, size - r - 3, 2))
    box = (x - r, y - r, x + r, y + r)
    if shape == "disc":
        pen.ellipse(box, fill=ink)
    elif shape == "square":
        pen.rectangle(box, fill=ink)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    elif shape == "cross":
        pen.rectangle((x - r, y - 4, x + r, y + 4), fill=ink)
        pen.rectangle((x - 4, y - r, x + 4, y + r), fill=ink)
    else:
        pen.ellipse(box, outline=ink, width=5)
    return picture


def described(pictures) -> torch.Tensor:
    return Silhouette()(torch.stack([BUILTIN_PREPROCESSING(picture) for picture in pictures]))


def test_shapes_are_told_apart_whatever_their_colour_size_and_place():
    few = described(draw(shape, seed) for shape in SHAPES for seed in range(3)).reshape(5, 3, -1).mean(1)
    many = described(draw(shape, seed) for shape in SHAPES for seed in range(100, 120))
    nearest = torch.cdist(many, few).argmin(1).reshape(5, 20)
    assert (nearest == torch.arange(5)[:, None]).float().mean() >= 0.95
    assert many.min() >= 0
    assert many.max() <= 1 + 1e-6


def test_a_picture_does_not_depend_on_its_company_nor_on_its_colours():
    pictures = [draw(shape, 7) for shape in SHAPES]
    together = described(pictures)
    alone = torch.cat([described([picture]) for picture in pictures])
    assert torch.equal(together, alone)
    inverted = described([Image.fromarray(255 - np.asarray(picture)) for picture in pictures])
    assert torch.allclose(together, inverted, atol=1e-5)


@pytest.mark.parametrize(
    "picture",
    [Image.new("RGB", (64, 64), (90, 90, 90)), Image.new("RGB", (1, 1), (255, 0, 0)), None],
    ids=["plain", "one pixel", "two things"],
)
def test_where_there_is_not_one_thing_there_is_no_silhouette(picture):
    if picture is None:
        picture = Image.new("RGB", (64, 64), (255, 255, 255))
        pen = ImageDraw.Draw(picture)
        pen.ellipse((5, 5, 22, 22), fill=(0, 0, 0))
        pen.rectangle((40, 40, 58, 58), fill=(0, 0, 0))
    assert described([picture]).abs().max() == 0


def test_simple_pictures_are_known_as_such():
    shapes = ArrayPictures(np.stack([np.asarray(draw(shape, seed)) for shape in SHAPES for seed in range(8)]))
    assert single_things(shapes) == 1.0
    scenes = load_scenes(train=60, validation=0, test=0)
    assert single_things(scenes.pictures) < 0.4
    assert single_things(scenes.pictures, most=5) <= 1.0


def test_the_backbone_has_both_halves():
    shapes, plain = load_backbone("builtin-shapes"), load_backbone("builtin")
    batch = torch.stack([plain.preprocess(draw(shape, 1)) for shape in SHAPES])
    with torch.inference_mode():
        found = shapes.network(batch)
        assert found.shape == (5, shapes.features_dim)
        assert torch.equal(found[:, : plain.features_dim], plain.network(batch))
        assert torch.equal(found[:, plain.features_dim :], Silhouette()(batch))
    assert shapes.key != plain.key


def test_two_dozen_labels_teach_shapes_in_any_colour():
    shapes, plain = load_backbone("builtin-shapes"), load_backbone("builtin")
    batch = torch.stack([plain.preprocess(draw(shape, seed)) for seed in range(20) for shape in SHAPES])
    truth = np.tile(np.arange(5), 20)
    right = {}
    for backbone in (shapes, plain):
        with torch.inference_mode():
            features = backbone.network(batch).numpy().astype(np.float16)
        found = []
        for seed in range(3):
            rows = np.random.default_rng(seed).permutation(100)
            codes = np.full((24, 5), UNKNOWN, dtype=np.int8)
            codes[np.arange(24), truth[rows[:24]]] = POSITIVE
            head = fit_heads(features[rows[:24]], codes, [HeadRun("an")], epochs=150, batch_size=64).heads[0]
            found.append((head.predict(features[rows[24:]]).argmax(1) == truth[rows[24:]]).mean())
        right[backbone.name] = np.mean(found)
    assert right["builtin-shapes"] >= 0.75
    assert right["builtin-shapes"] >= right["builtin"] + 0.3
