"""What is shipped for running the server: the compose file, the image, the ASGI entry."""

import subprocess
import sys

import pytest
import yaml
from backend_process import BackendProcess

from spml_annotate.studio.environment import _VARIABLES

READ = {name for variable in _VARIABLES for name in variable.names} | {"BASIC_AUTH_USER", "BASIC_AUTH_PASS"}


@pytest.fixture
def place(checkout):
    return checkout / "backends" / "label_studio"


def test_the_compose_file_sets_names_that_the_server_reads(place):
    services = yaml.safe_load((place / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"label-studio", "backend"}
    assert set(services["backend"]["environment"]) <= READ
    assert {"LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "MODEL_DIR"} <= set(services["backend"]["environment"])
    studio = services["label-studio"]["environment"]
    assert studio["ML_BLOCK_LOCAL_IP"] == studio["SSRF_PROTECTION_ENABLED"] == "false"


def test_the_image_is_of_files_that_exist_and_runs_as_a_user(place, checkout):
    lines = (place / "Dockerfile").read_text().splitlines()
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1]]
    assert copied
    assert all((checkout / part).exists() for part in copied)
    assert "USER spml" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_the_asgi_entry_imports_without_claiming_anything(place, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "MODEL_DIR": str(tmp_path / "models"), "LABEL_STUDIO_URL": "http://x:1"}
    code = "from asgi import app; print(sorted(route.path for route in app.routes))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    assert "/predict" in found.stdout
    assert not (tmp_path / "models").exists()


def test_one_server_for_one_folder_and_one_for_one_port(tmp_path):
    with BackendProcess(tmp_path / "models") as first:
        second = BackendProcess(tmp_path / "models")
        third = BackendProcess(tmp_path / "other")
        third.environment["PORT"] = str(first.port)
        for server, words in ((second, "is served already"), (third, "cannot listen at")):
            command = [sys.executable, "-m", "spml_annotate", "serve"]
            found = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
            assert found.returncode == 2
            assert words in found.stderr
            assert len(found.stderr.strip().splitlines()) == 1
        first.kill()  # however it ends, the folder is free again
        second.start()
        second.stop()


def test_a_setting_that_cannot_be_is_named(tmp_path):
    server = BackendProcess(tmp_path / "models", SPML_RANDOM_SHARE="many")
    command = [sys.executable, "-m", "spml_annotate", "serve"]
    found = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "SPML_RANDOM_SHARE" in found.stderr
