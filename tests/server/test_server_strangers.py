"""What strangers may say at `/setup`: no token goes to an address they name, and no folder or memory is filled."""

import pytest
from backend_process import CONFIG
from click.testing import CliRunner

from spml_annotate.cli import main
from spml_annotate.errors import DataError, RemoteError
from spml_annotate.project import Project
from spml_annotate.server import hub as hub_module
from spml_annotate.server.backend import Backend
from spml_annotate.server.naming import Named
from spml_annotate.server.security import SECRETS
from spml_annotate.studio.environment import StudioSettings

OURS, THEIRS = "0123456789abcdef" * 2 + "01234567", "fedcba9876543210" * 2 + "fedcba98"
EVIL, GOOD = "http://evil.example:8080", "http://127.0.0.1:1"


@pytest.fixture
def made(tmp_path):
    """Makes a backend of one project folder."""
    Project.create(tmp_path / "project", ["red", "green", "blue", "stripes", "checks"]).close()
    backends = []

    def make(**settings):
        backends.append(Backend(StudioSettings(model_dir=tmp_path, **settings), tmp_path / "project"))
        backends[-1].open()
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


def setup(backend, number=7, *, trusted=False, **said):
    body = {"project": f"{number}.1795220470", "schema": CONFIG, "hostname": EVIL, "access_token": THEIRS, **said}
    return backend.setup(body, trusted)["model_version"]


def link_of(backend, number=7):
    return backend.hub.find(Named(number, "1795220470"))[1]


def test_a_folder_that_cannot_be_written_to_is_said_in_one_line(tmp_path):
    (tmp_path / "server.lock").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*Is a directory"):
        Backend(StudioSettings(model_dir=tmp_path)).open()


def test_an_unknown_log_level_is_refused(tmp_path):
    done = CliRunner().invoke(main, ["serve", "--log-level", "loud", "--model-dir", str(tmp_path)])
    assert (done.exit_code, "--log-level" in done.output) == (2, True)


@pytest.mark.parametrize("trusted", [False, True])
def test_the_configured_token_goes_to_the_configured_address_only(made, trusted):
    known = made(url=GOOD, token=OURS)
    setup(known, trusted=trusted)
    assert known.hub.access(link_of(known)) == (GOOD, OURS)
    known.close()
    nowhere = made(token=OURS)
    setup(nowhere, trusted=trusted)
    with pytest.raises(RemoteError, match="LABEL_STUDIO_URL is not set"):
        nowhere.hub.access(link_of(nowhere))
    assert nowhere.hub.client_of(Named(7, "1795220470")) is None


def test_an_address_is_believed_from_whoever_knows_the_password_and_gets_their_own_token(made):
    backend = made()
    setup(backend)
    with pytest.raises(RemoteError):
        backend.hub.access(link_of(backend))
    setup(backend, trusted=True)
    assert backend.hub.access(link_of(backend)) == (EVIL, THEIRS)


@pytest.mark.parametrize("token", ["a b", "INFO", "schlüssel" * 3, "x" * 5000, "\ud800" * 20])
def test_what_can_be_no_token_is_not_kept_and_hides_no_words(made, token):
    backend = made(url=GOOD)
    setup(backend, access_token=token)
    with pytest.raises(RemoteError, match="LABEL_STUDIO_API_KEY"):
        backend.hub.client(link_of(backend))
    assert SECRETS.hide(f"a line with INFO and {token[:9]}") == f"a line with INFO and {token[:9]}"


def test_a_folder_is_tied_to_a_limited_number_of_projects(made, monkeypatch):
    monkeypatch.setattr(hub_module, "MOST_LINKS", 3)
    backend = made(url=GOOD, token=OURS)
    versions = [setup(backend, number) for number in range(6)]
    assert versions[3:] == [hub_module.NOBODY] * 3
    assert len(backend.hub.served()[0].links.links()) == 3
    assert setup(backend, 0) == versions[0]


def test_what_is_told_thousands_of_times_is_not_kept(made, monkeypatch):
    monkeypatch.setattr(hub_module, "_MOST_CHANGES", 5)
    backend = made(url=GOOD)
    for number in range(20):
        setup(backend, access_token=f"{number:040d}")
    assert backend.hub.access(link_of(backend)) == (GOOD, f"{4:040d}")
