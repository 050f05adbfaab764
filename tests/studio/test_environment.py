"""Settings from the environment: defaults, aliases, mistakes named by their variable, secrets kept out of sight."""

import os
from pathlib import Path

import pytest

from spml_annotate.errors import SettingError
from spml_annotate.studio.environment import StudioSettings, settings_from

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def test_nothing_set_is_the_defaults():
    assert settings_from({}) == StudioSettings()
    assert settings_from({"PORT": "", "LABEL_STUDIO_URL": "  "}) == StudioSettings()


def test_the_known_names(tmp_path):
    settings = settings_from(
        {
            "LABEL_STUDIO_URL": "http://studio:8080/",
            "LABEL_STUDIO_API_KEY": TOKEN,
            "BASIC_AUTH_USER": "u",
            "BASIC_AUTH_PASS": "p:q",
            "MODEL_DIR": str(tmp_path),
            "PORT": "9191",
            "LOG_LEVEL": "debug",
            "START_TRAINING_EACH_N_UPDATES": "5",
            "MODEL_SCORE_THRESHOLD": "0.25",
            "SPML_LOSS": "role",
            "SPML_IMAGE_HOSTS": "Images.example.com:8443, *.example.org",
            "SPML_IMAGE_FOLDERS": os.pathsep.join([str(tmp_path), str(Path.cwd())]),
            "SPML_MAX_BODY_MB": "2",
        }
    )
    assert settings.url == "http://studio:8080"
    assert (settings.token, settings.basic) == (TOKEN, ("u", "p:q"))
    assert (settings.model_dir, settings.port, settings.log_level) == (tmp_path, 9191, "DEBUG")
    assert (settings.train_each, settings.threshold, settings.loss) == (5, 0.25, "role")
    assert settings.image_hosts == ("images.example.com:8443", "*.example.org")
    assert settings.image_folders == (tmp_path.resolve(), Path.cwd())
    assert settings.max_body == 2 << 20


def test_aliases_stand_in_and_do_not_win():
    alias = {"LABEL_STUDIO_HOST": "http://b:1", "LABEL_STUDIO_ACCESS_TOKEN": "f" * 40}
    assert settings_from(alias).url == "http://b:1"
    assert settings_from(alias).token == "f" * 40
    both = {**alias, "LABEL_STUDIO_URL": "http://a:1", "LABEL_STUDIO_API_KEY": TOKEN}
    assert (settings_from(both).url, settings_from(both).token) == ("http://a:1", TOKEN)


def test_options_win_unless_they_are_none():
    settings = settings_from({"PORT": "1", "SPML_LOSS": "an"}, port=2, loss=None, basic=("a", "b"))
    assert (settings.port, settings.loss, settings.basic) == (2, "an", ("a", "b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("START_TRAINING_EACH_N_UPDATES", "-1"),
        ("MODEL_SCORE_THRESHOLD", "1.5"),
        ("MODEL_SCORE_THRESHOLD", "nan"),
        ("SPML_POLL_SECONDS", "inf"),
        ("SPML_IMAGE_HOSTS", "http://images.example.com"),
        ("SPML_IMAGE_HOSTS", "images.*.com"),
        ("SPML_IMAGE_FOLDERS", "/no/such/folder"),
        ("LABEL_STUDIO_URL", "studio:8080"),
        ("LABEL_STUDIO_URL", "http://"),
        ("LABEL_STUDIO_URL", "http://host:port"),
        ("LABEL_STUDIO_HOST", "ftp://studio"),
        ("LABEL_STUDIO_API_KEY", "two words"),
        ("LABEL_STUDIO_ACCESS_TOKEN", "two words"),
    ],
)
def test_a_mistake_names_its_variable_in_one_line(name, value):
    with pytest.raises(SettingError, match=rf"\b{name}\b") as caught:
        settings_from({name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"BASIC_AUTH_USER": "u"}, "BASIC_AUTH_PASS is not"),
        ({"BASIC_AUTH_PASS": "hush"}, "BASIC_AUTH_USER is not"),
        ({"BASIC_AUTH_USER": "u:v", "BASIC_AUTH_PASS": "hush"}, "BASIC_AUTH_USER has a colon"),
        ({"LABEL_STUDIO_URL": "http://me:hush@studio"}, "LABEL_STUDIO_URL holds a user name"),
        ({"LABEL_STUDIO_URL": "me:hush@studio"}, "LABEL_STUDIO_URL"),
        ({"LABEL_STUDIO_API_KEY": "hush hush"}, "LABEL_STUDIO_API_KEY"),
    ],
)
def test_no_secret_is_shown(environment, named):
    with pytest.raises(SettingError, match=named) as caught:
        settings_from(environment)
    assert "hush" not in str(caught.value)


def test_the_repr_keeps_secrets():
    settings = settings_from({"LABEL_STUDIO_API_KEY": TOKEN, "BASIC_AUTH_USER": "u", "BASIC_AUTH_PASS": "hush"})
    assert TOKEN not in repr(settings)
    assert "hush" not in repr(settings)
