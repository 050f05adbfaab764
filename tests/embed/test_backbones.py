"""Backbones: what comes out, which weights go in, and what is said when they cannot."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spml_annotate.embed import builtin
from spml_annotate.embed.backbones import load_backbone
from spml_annotate.errors import DataError, MismatchError, MissingExtraError, SettingError

WIDTHS = {
    "resnet18": 512,
    "mobilenet_v3_small": 1024,
    "efficientnet_b0": 1280,
    "vit_b_16": 768,
    "convnext_tiny": 768,
    "swin_t": 768,
    "squeezenet1_1": 512,
    "shufflenet_v2_x0_5": 1024,
    "mnasnet0_5": 1280,
    "densenet121": 1024,
    "googlenet": 1024,
}


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", WIDTHS)
def test_each_family_builds_and_gives_pooled_features(name):
    backbone = load_backbone(name, "none", device="cpu")
    assert backbone.features_dim == WIDTHS[name]
    size = backbone.preprocessing.size
    with torch.inference_mode():
        out = backbone.network(torch.zeros(1, 3, size, size))
    assert out.shape == (1, WIDTHS[name])
    assert not backbone.network.training


def test_random_weights_are_the_same_each_time_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (load_backbone("mobilenet_v3_small", "none", device="cpu") for _ in range(2))
    assert first.key == second.key
    assert torch.equal(torch.random.get_rng_state(), before)


def whole_state(name):
    """A state dict as torchvision saves it, classifier included."""
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        options = {"init_weights": False} if name == "googlenet" else {}
        return models.get_model(name, weights=None, **options).state_dict()


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "googlenet", "squeezenet1_1"])
def test_file_with_classifier_in_each_format_gives_the_same_key(name, tmp_path):
    state = whole_state(name)
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "b.pt")
    keys = {load_backbone(name, tmp_path / file, device="cpu").key for file in ("a.safetensors", "a.pth", "b.pt")}
    assert len(keys) == 1
    assert load_backbone(name, "none", device="cpu").key not in keys


def test_names_of_old_densenet_files_are_understood(tmp_path):
    state = whole_state("densenet121")
    old = {
        key.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in key
        else key: value
        for key, value in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    torch.save(state, tmp_path / "new.pth")
    assert (
        load_backbone("densenet121", tmp_path / "old.pth", device="cpu").key
        == load_backbone("densenet121", tmp_path / "new.pth", device="cpu").key
    )


def _save(path, state):
    torch.save(state, path)
    return path


def _lacking(path):
    return _save(path / "a.pth", {k: v for k, v in whole_state("resnet18").items() if k != "layer1.0.conv1.weight"})


def _other(path):
    return _save(path / "a.pth", whole_state("resnet50"))


def _foreign(path):
    return _save(path / "a.pth", {"encoder.weight": torch.zeros(2)})


def _pickle_with_code(path):
    return _save(path / "a.pth", {"weight": Path("x")})


def _not_tensors(path):
    return _save(path / "a.pth", {"epoch": 3})


def _text(path):
    (path / "a.safetensors").write_text("hello")
    return path / "a.safetensors"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (_lacking, MismatchError, r"it is no resnet18: it lacks 1 tensors such as 'layer1.0.conv1.weight'"),
        (_other, MismatchError, r"has another shape than resnet18 needs"),
        (_foreign, MismatchError, r"lacks .* and has 1 unknown ones such as 'encoder.weight'"),
        (_pickle_with_code, DataError, "cannot be read"),
        (_not_tensors, DataError, "not a state dict"),
        (_text, DataError, "cannot be read"),
        (lambda path: path / "none.pth", DataError, "no such weight file"),
        (lambda path: path / "a.onnx", SettingError, "ends in .safetensors, .pth or .pt"),
    ],
)
def test_wrong_weight_files(make, error, message, tmp_path):
    with pytest.raises(error, match=message) as caught:
        load_backbone("resnet18", make(tmp_path), device="cpu")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_without_internet_the_message_says_what_to_fetch_and_how_to_pass_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_arguments, **_options):
        raise urllib.error.URLError("name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(MissingExtraError) as caught:
        load_backbone("resnet18", device="cpu")
    for part in (
        "resnet18-f37072fd.pth",
        "ResNet18_Weights.IMAGENET1K_V1",
        "--weights resnet18-",
        "--backbone builtin",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_default_weights_come_from_torchvisions_cache(tmp_path, monkeypatch):
    """A file already downloaded is used without asking the internet, and its hash is checked by name."""
    from torchvision.models import resnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = whole_state("resnet18")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "resnet18-f37072fd.pth")
    torch.save(state, tmp_path / "file.pth")
    assert resnet.ResNet18_Weights.DEFAULT.url.endswith("resnet18-f37072fd.pth")
    monkeypatch.setattr(urllib.request, "urlopen", None)  # asking would fail loudly
    downloaded = load_backbone("resnet18", device="cpu")
    assert downloaded.key == load_backbone("resnet18", tmp_path / "file.pth", device="cpu").key


def test_unknown_backbone_and_size_that_it_cannot_take():
    with pytest.raises(SettingError, match="did you mean 'resnet18'"):
        load_backbone("resnet81", "none")
    with pytest.raises(SettingError, match="vit_b_16 cannot take such pictures"):
        load_backbone("vit_b_16", "none", size=257, device="cpu")


def test_builtin_weights_are_the_recorded_ones_and_small():
    content = builtin.WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == builtin.WEIGHTS_SHA256
    assert len(content) < 1_000_000
    backbone = load_backbone(device="cpu")
    assert backbone.name == "builtin"
    assert 192 <= backbone.features_dim <= 384


@pytest.mark.parametrize(("content", "message"), [(None, "missing"), (b"x", "altered")])
def test_damaged_installation(content, message, tmp_path, monkeypatch):
    path = tmp_path / "builtin.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(builtin, "WEIGHTS", path)
    with pytest.raises(DataError, match=f"{message}; reinstall"):
        load_backbone(device="cpu")
