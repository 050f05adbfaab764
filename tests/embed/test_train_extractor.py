"""The training script runs, and the same arguments give the same file."""

import importlib.util
import sys

from safetensors.torch import load_file

from spml_annotate.embed.backbones import load_backbone


def test_quick_training_writes_weights_that_load(checkout, tmp_path, monkeypatch, capsys):
    plan = importlib.util.spec_from_file_location("train_extractor", checkout / "scripts" / "train_extractor.py")
    script = importlib.util.module_from_spec(plan)
    plan.loader.exec_module(script)
    files = [tmp_path / name for name in ("first.safetensors", "second.safetensors")]
    for file in files:
        monkeypatch.setattr(sys, "argv", ["train_extractor.py", "--quick", "--out", str(file)])
        script.main()
    assert capsys.readouterr().out.count("SHA-256") == 2
    assert files[0].read_bytes() == files[1].read_bytes()
    assert all(value.isfinite().all() for value in load_file(files[0]).values())
    assert load_backbone("builtin", files[0], device="cpu").key.startswith("builtin-")
