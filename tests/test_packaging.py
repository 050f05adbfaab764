"""The wheel in a clean environment, and an editable install: both find templates/ and backends/, neither leaks them."""

import subprocess
import sys
import venv
import zipfile

import pytest

PROBE = """
import importlib.util, spml_annotate
from spml_annotate.resources import resource
assert resource("templates/report.html").read_text("utf-8").startswith("<!doctype html>")
assert resource("backends/label_studio/README.md").is_file()
assert importlib.util.find_spec("templates") is None and importlib.util.find_spec("backends") is None
print(resource("templates/report.html"), spml_annotate.__version__)
"""


def pip(*arguments, python=sys.executable):
    subprocess.run([str(python), "-m", "pip", "-q", "--disable-pip-version-check", *arguments], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("wheel")
    checkout = request.path.parent.parent
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(checkout))
    (built,) = folder.glob("*.whl")
    return built


def clean_environment(folder):
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def probe(python, folder):
    result = subprocess.run([str(python), "-c", PROBE], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_carries_everything_under_one_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"spml_annotate"}
    data = ("embed/builtin.safetensors", "losses/absent.toml", "losses/golden.csv")
    for needed in ("py.typed", "templates/report.html", "backends/label_studio/README.md", *data):
        assert f"spml_annotate/{needed}" in names


def test_the_wheel_works_in_a_clean_environment(wheel, tmp_path):
    python = clean_environment(tmp_path / "env")
    pip("install", "--no-deps", str(wheel), python=python)
    assert "site-packages" in probe(python, tmp_path)


def test_an_editable_install_finds_the_checkout_s_folders(checkout, tmp_path):
    python = clean_environment(tmp_path / "env")
    pip("install", "hatchling", "editables", python=python)
    pip("install", "--no-deps", "--no-build-isolation", "-e", str(checkout), python=python)
    assert str(checkout / "templates") in probe(python, tmp_path)
