"""Trains the built-in feature extractor on scenes that no built-in data set contains, and writes its weights.

    python scripts/train_extractor.py            # a few minutes on two CPU cores; overwrites the packaged file
    python scripts/train_extractor.py --quick --out /tmp/builtin.safetensors

Tasks: tell from the pooled features which of the 80 classes (digit and colour) a scene shows and what its ground is
made of, and from each place of the last map which digit and which colour has its centre there. The digit images come
from the pool reserved for this ("extractor" in datasets/scenes.py). The same arguments give the same bytes on the same
machine and thread count.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from spml_annotate.datasets.scene_drawing import COLOURS, TEXTURES, Scene
from spml_annotate.datasets.scenes import class_names, draw_scenes
from spml_annotate.embed.builtin import BUILTIN_PREPROCESSING, WEIGHTS, BuiltinNetwork, pooled
from spml_annotate.stores.atomic import write_atomically

SEED = 1_000_003
"""Of the scenes; far from the small seeds that people use for the data set itself."""
GRID = BUILTIN_PREPROCESSING.size // 8
CLASSES = len(class_names())
GROUND_WEIGHT = 0.15
"""Most places show no object's centre; this keeps them from drowning those that do."""


class Lessons(NamedTuple):
    """N scenes: normalised ``pictures`` [N, 3, S, S] as uint8, and what is to be told from them.

    ``classes`` float [N, 80], ``textures`` int64 [N], ``digits`` and ``colours`` int64 [N, G, G], 0 for none.
    """

    pictures: Tensor
    classes: Tensor
    textures: Tensor
    digits: Tensor
    colours: Tensor


def paint(count: int) -> Lessons:
    """Draw the lessons."""
    side = BUILTIN_PREPROCESSING.size
    pictures = np.empty((count, side, side, 3), dtype=np.uint8)
    classes = np.zeros((count, CLASSES), dtype=np.float32)
    textures = np.empty(count, dtype=np.int64)
    places = np.zeros((2, count, GRID, GRID), dtype=np.int64)
    for number, scene in enumerate(draw_scenes("extractor", count, seed=SEED)):
        small = Image.fromarray(scene.picture).resize((side, side), Image.Resampling.BILINEAR)
        pictures[number], textures[number] = np.asarray(small), scene.texture
        classes[number, list(scene.labels)] = 1.0
        _mark(scene, places[:, number])
    return Lessons(
        torch.from_numpy(pictures).permute(0, 3, 1, 2),
        *(torch.from_numpy(array) for array in (classes, textures, places[0], places[1])),
    )


def _mark(scene: Scene, places: np.ndarray) -> None:
    """Write digit + 1 and colour + 1 where the objects' centres are; a later object lies on top."""
    centres = (scene.corners[:, :2] + scene.corners[:, 2:]) / 2.0 / len(scene.picture) * GRID
    for label, (across, down) in zip(scene.labels, centres.astype(int), strict=True):
        digit, colour = divmod(label, len(COLOURS))
        places[:, down, across] = digit + 1, colour + 1


class Heads(nn.Module):
    """The tasks' own layers, thrown away after the training."""

    def __init__(self, network: BuiltinNetwork) -> None:
        super().__init__()
        self.scene = nn.Linear(network.features_dim, CLASSES + len(TEXTURES))
        self.place = nn.Conv2d(network.features_dim // 2, 11 + len(COLOURS) + 1, 1)
        self.register_buffer("digit_weights", torch.tensor([GROUND_WEIGHT] + [1.0] * 10))
        self.register_buffer("colour_weights", torch.tensor([GROUND_WEIGHT] + [1.0] * len(COLOURS)))

    def loss(self, maps: Tensor, lessons: Lessons) -> Tensor:
        """Weighted sum of the tasks' losses for the last maps [B, C, G, G] of these lessons."""
        scene, place = self.scene(pooled(maps)), self.place(maps)
        classes = functional.binary_cross_entropy_with_logits(scene[:, :CLASSES], lessons.classes) * CLASSES
        texture = functional.cross_entropy(scene[:, CLASSES:], lessons.textures)
        digit = functional.cross_entropy(place[:, :11], lessons.digits, self.digit_weights)
        colour = functional.cross_entropy(place[:, 11:], lessons.colours, self.colour_weights)
        return classes + 0.2 * texture + 3.0 * digit + 3.0 * colour


def train(count: int, epochs: int, batch: int, rate: float) -> BuiltinNetwork:
    """The network after ``epochs`` over ``count`` scenes, with a one-cycle learning rate that peaks at ``rate``."""
    torch.manual_seed(SEED)
    network = BuiltinNetwork()
    heads = Heads(network)
    optimiser = torch.optim.AdamW([*network.parameters(), *heads.parameters()], lr=rate, weight_decay=1e-3)
    steps = count // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps, pct_start=0.2)
    lessons = paint(count)
    order = torch.Generator().manual_seed(SEED)
    started = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for rows in itertools.islice(torch.randperm(count, generator=order).split(batch), steps):
            chosen = Lessons(*(part[rows] for part in lessons))
            loss = heads.loss(network.maps(_normalised(chosen.pictures)), chosen)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1}/{epochs}: loss {total / steps:.3f}, {seconds:.0f} s", flush=True)  # noqa: T201
    return network.eval()


def _normalised(pictures: Tensor) -> Tensor:
    mean, deviation = BUILTIN_PREPROCESSING.mean[0], BUILTIN_PREPROCESSING.deviation[0]  # the channels are alike
    return ((pictures.float() / 255.0 - mean) / deviation).contiguous(memory_format=torch.channels_last)


def save(network: BuiltinNetwork, path: Path) -> str:
    """Write the weights as float16 and return the file's SHA-256."""
    from safetensors.torch import save as to_bytes

    state = {name: value.half().contiguous() for name, value in network.state_dict().items() if value.ndim}
    content = to_bytes(state)
    write_atomically(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Train, write, and print the checksum to record in embed/builtin.py."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: the packaged one)")
    parser.add_argument("--scenes", type=int, default=12_000, help="number of different scenes")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that it runs")
    arguments = parser.parse_args()
    count, epochs, batch = (64, 1, 32) if arguments.quick else (arguments.scenes, arguments.epochs, 64)
    digest = save(train(count, epochs, batch, rate=4e-3), arguments.out)
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1024:.0f} KiB), SHA-256 {digest}")  # noqa: T201


if __name__ == "__main__":
    main()
