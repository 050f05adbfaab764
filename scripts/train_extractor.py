"""Trains the built-in feature extractor on scenes that no built-in data set contains, and writes its weights.

    python scripts/train_extractor.py            # a few minutes on two CPU cores; overwrites the packaged file
    python scripts/train_extractor.py --quick --out /tmp/builtin.safetensors

Task: from the pooled features, tell which of the 80 classes (digit and colour) a scene shows and what its ground is
made of. The digit images come from the pool reserved for this ("extractor" in datasets/scenes.py). The same arguments
give the same bytes on the same machine and thread count.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spml_annotate.datasets.scene_drawing import TEXTURES
from spml_annotate.datasets.scenes import class_names, draw_scenes
from spml_annotate.embed.builtin import BUILTIN_PREPROCESSING, WEIGHTS, BuiltinNetwork
from spml_annotate.stores.atomic import write_atomically

SIDE = BUILTIN_PREPROCESSING.size
SEED = 1_000_003
"""Of the scenes; far from the small seeds that people use for the data set itself."""


def paint(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures uint8 [N, 3, S, S], classes float [N, 80] and ground textures int64 [N]."""
    pictures = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    classes = np.zeros((count, len(class_names())), dtype=np.float32)
    textures = np.empty(count, dtype=np.int64)
    for number, scene in enumerate(draw_scenes("extractor", count, seed=SEED, size=SIDE)):
        pictures[number], textures[number] = scene.picture, scene.texture
        classes[number, list(scene.labels)] = 1.0
    return torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(classes), torch.from_numpy(textures)


def train(count: int, epochs: int, batch: int, rate: float) -> BuiltinNetwork:
    """The network after ``epochs`` over ``count`` scenes, with a one-cycle learning rate that peaks at ``rate``."""
    torch.manual_seed(SEED)
    network = BuiltinNetwork()
    heads = nn.Linear(network.features_dim, len(class_names()) + len(TEXTURES))
    parameters = [*network.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-3)
    steps = count // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps, pct_start=0.2)
    pictures, classes, textures = paint(count)
    order = torch.Generator().manual_seed(SEED)
    started = time.monotonic()
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for rows in itertools.islice(torch.randperm(count, generator=order).split(batch), steps):
            shifted = _shifted(pictures[rows], order)
            outputs = heads(network(_normalised(shifted)))
            loss = 80.0 * functional.binary_cross_entropy_with_logits(outputs[:, : -len(TEXTURES)], classes[rows])
            loss = loss + 0.3 * functional.cross_entropy(outputs[:, -len(TEXTURES) :], textures[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / steps:.3f}, {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201
    return network.eval()


def _normalised(pictures: Tensor) -> Tensor:
    mean, deviation = BUILTIN_PREPROCESSING.mean[0], BUILTIN_PREPROCESSING.deviation[0]  # the channels are alike
    return ((pictures.float() / 255.0 - mean) / deviation).contiguous(memory_format=torch.channels_last)


def _shifted(pictures: Tensor, random: torch.Generator) -> Tensor:
    """The batch moved by up to 8 pixels, wrapping around: places are not worth learning by heart."""
    down, across = (int(torch.randint(-8, 9, (), generator=random)) for _ in range(2))
    return pictures.roll((down, across), (2, 3))


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
    parser.add_argument("--scenes", type=int, default=16_000, help="number of different scenes")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that it runs")
    arguments = parser.parse_args()
    count, epochs, batch = (64, 1, 32) if arguments.quick else (arguments.scenes, arguments.epochs, 64)
    digest = save(train(count, epochs, batch, rate=4e-3), arguments.out)
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1024:.0f} KiB), SHA-256 {digest}")  # noqa: T201


if __name__ == "__main__":
    main()
