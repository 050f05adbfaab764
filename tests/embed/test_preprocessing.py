"""Preprocessing equals torchvision's own, and says no to nonsense."""

import numpy as np
import pytest
import torch
from PIL import Image

from spml_annotate.embed.backbones import BACKBONES, _preset
from spml_annotate.embed.preprocessing import Preprocessing
from spml_annotate.errors import SettingError


def picture(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "swin_t", "mobilenet_v2", "vit_b_16"])
@pytest.mark.parametrize("shape", [(300, 400), (401, 263), (100, 90), (256, 256)])
def test_equals_torchvisions_own(name, shape):
    from torchvision.models import get_model_weights

    preset = get_model_weights(name).DEFAULT.transforms()
    image = picture(*shape)
    torch.testing.assert_close(_preset(preset)(image), preset(image), rtol=0, atol=1e-5)


def test_size_takes_in_the_whole_picture():
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (0, 0, 20, 100))  # an object at the edge that a centre crop would lose
    cropped = Preprocessing(64, 72)
    whole = cropped.changed(size=65)
    assert float(cropped(image).std(dim=(1, 2)).max()) == 0
    assert whole(image).shape == (3, 65, 65)
    assert float(whole(image).std(dim=(1, 2)).min()) > 0


def test_normalisation_can_be_overridden():
    plain = Preprocessing(16, None).changed(mean=0.5, std=(0.5, 0.25, 1.0))
    out = plain(Image.new("RGB", (16, 16), "white"))
    assert out[:, 0, 0].tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 3}, "--size 3"),
        ({"std": 0.0}, "--std 0.0"),
        ({"mean": (0.1, 0.2)}, "one number, or three"),
        ({"mean": float("nan")}, "one number, or three"),
    ],
)
def test_bad_settings(wrong, message):
    with pytest.raises(SettingError, match=message):
        Preprocessing(64).changed(**wrong)


def test_fingerprint_tells_settings_apart():
    variants = [Preprocessing(64), Preprocessing(64, 72), Preprocessing(65), Preprocessing(64).changed(mean=0.5)]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert Preprocessing(64).fingerprint == Preprocessing(64).fingerprint


def test_every_backbone_is_listed_with_a_summary():
    from torchvision import models

    assert next(iter(BACKBONES)) == "builtin"
    assert set(BACKBONES) == {"builtin", "builtin-shapes", *models.list_models(module=models)}
    assert all(BACKBONES[name].summary.endswith(".") for name in BACKBONES)
