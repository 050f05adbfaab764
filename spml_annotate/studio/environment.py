"""Settings of the server, from the environment names that users of Label Studio backends know, and a few of ours."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from spml_annotate.errors import SettingError
from spml_annotate.studio.tokens import token_kind
from spml_annotate.studio.transport import studio_address

MEGABYTE = 1 << 20
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class StudioSettings:
    """What the server and the studio commands need to know; its repr holds no secret.

    Attributes:
        url: address of Label Studio, "" if unknown; token: for its API, "" if none.
        basic: user name and password that requests to our server must carry, None if none.
        model_dir: where projects are made that were not named; port: of our server; log_level: of its log.
        train_each: train after so many changed answers, 0 never by itself.
        threshold: propose classes of at least this probability; None lets the model decide.
        loss: by its registered name, or auto; backbone, weights: as of ``spml-annotate embed``, or auto.
        image_hosts: "name", "name:port", "*.name" or "*" that images may come from, besides Label Studio.
        image_folders: folders that hold what Label Studio serves as local files, on this machine.
        random_share: of tasks that are ordered at random; hidden_share: of tasks shown without proposals.
        poll_seconds: between looks for answers whose webhook was lost; settle_seconds: of quiet before training.
        max_body: bytes of a request to our server.
        max_image_mb: megabytes of one picture; max_pixels: of one picture; fetch_seconds: for one picture, in all.
    """

    url: str = ""
    token: str = field(default="", repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    model_dir: Path = Path("models")
    port: int = 9090
    log_level: str = "INFO"
    train_each: int = 20
    threshold: float | None = None
    loss: str = "auto"
    backbone: str = "auto"
    weights: str = ""
    image_hosts: tuple[str, ...] = ()
    image_folders: tuple[Path, ...] = ()
    random_share: float = 0.1
    hidden_share: float = 0.0
    poll_seconds: float = 30.0
    settle_seconds: float = 15.0
    max_body: int = 64 * MEGABYTE
    max_image_mb: float = 50.0
    max_pixels: int = 100_000_000
    fetch_seconds: float = 20.0


class _Variable(NamedTuple):
    setting: str
    names: tuple[str, ...]
    read: Callable[[str], Any]


def settings_from(environment: Mapping[str, str] = os.environ, **overrides: Any) -> StudioSettings:  # noqa: ANN401
    """Read the settings; what is empty counts as not set.

    Args:
        environment: variables and their values; LABEL_STUDIO_HOST stands in for LABEL_STUDIO_URL, and
            LABEL_STUDIO_ACCESS_TOKEN for LABEL_STUDIO_API_KEY.
        overrides: attributes of `StudioSettings` that win; None leaves the environment's.

    Raises:
        SettingError: naming the variable, if its value cannot be used.
    """
    chosen: dict[str, Any] = {}
    for variable in _VARIABLES:
        name = next((name for name in variable.names if environment.get(name, "").strip()), None)
        if name is not None:
            chosen[variable.setting] = _read(variable, name, environment[name].strip())
    basic = _basic(environment)
    if basic is not None:
        chosen["basic"] = basic
    known = {one.name for one in fields(StudioSettings)}
    assert set(overrides) <= known, set(overrides) - known
    chosen.update({name: value for name, value in overrides.items() if value is not None})
    return StudioSettings(**chosen)


def _read(variable: _Variable, name: str, text: str) -> object:
    try:
        return variable.read(text)
    except SettingError as error:
        raise SettingError(str(error).replace(variable.names[0], name)) from None
    except ValueError as error:
        # only the reader's own words: the value may be a secret, or hold one
        raise SettingError(f"{name} must be {error}; correct it in the environment") from None


def _basic(environment: Mapping[str, str]) -> tuple[str, str] | None:
    user, password = environment.get("BASIC_AUTH_USER", ""), environment.get("BASIC_AUTH_PASS", "")
    if bool(user) != bool(password):
        there, missing = ("USER", "PASS") if user else ("PASS", "USER")
        raise SettingError(f"BASIC_AUTH_{there} is set and BASIC_AUTH_{missing} is not; set both, or neither")
    if ":" in user:
        raise SettingError("BASIC_AUTH_USER has a colon, which ends the user name; choose another")
    return (user, password) if user else None


def _token(text: str) -> str:
    token_kind(text)  # says so if it can be none
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"a whole number from {low} to {high}") from None
        if not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return read


def _number(low: float, high: float = math.inf) -> Callable[[str], float]:
    expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(expected) from None
        if not low <= value <= high or math.isinf(value):
            raise ValueError(expected)
        return value

    return read


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f"one of {', '.join(_LEVELS)}")
    return text.upper()


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for host in hosts:
        bare = host.removeprefix("*.") if host != "*" else "any"
        if not bare or any(character in "/?#@*" or character.isspace() for character in bare):
            raise ValueError(
                f'host names with commas between them, such as "images.example.com, *.example.org" ({host})'
            )
    return hosts


def _folders(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(part.strip()).expanduser() for part in text.split(os.pathsep) if part.strip())
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"folders that exist, with {os.pathsep!r} between them ({folder} is none)")
    return tuple(folder.resolve() for folder in folders)


def _megabytes(text: str) -> int:
    return int(_number(1, 4096)(text) * MEGABYTE)


_VARIABLES = (
    _Variable("url", ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"), studio_address),
    _Variable("token", ("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"), _token),
    _Variable("model_dir", ("MODEL_DIR",), Path),
    _Variable("port", ("PORT",), _whole(0, 65535)),
    _Variable("log_level", ("LOG_LEVEL",), _level),
    _Variable("train_each", ("START_TRAINING_EACH_N_UPDATES",), _whole(0, 1_000_000)),
    _Variable("threshold", ("MODEL_SCORE_THRESHOLD",), _number(0, 1)),
    _Variable("loss", ("SPML_LOSS",), str),
    _Variable("backbone", ("SPML_BACKBONE",), str),
    _Variable("weights", ("SPML_WEIGHTS",), str),
    _Variable("image_hosts", ("SPML_IMAGE_HOSTS",), _hosts),
    _Variable("image_folders", ("SPML_IMAGE_FOLDERS",), _folders),
    _Variable("random_share", ("SPML_RANDOM_SHARE",), _number(0, 1)),
    _Variable("hidden_share", ("SPML_HIDDEN_SHARE",), _number(0, 1)),
    _Variable("poll_seconds", ("SPML_POLL_SECONDS",), _number(0.1)),
    _Variable("settle_seconds", ("SPML_SETTLE_SECONDS",), _number(0)),
    _Variable("max_body", ("SPML_MAX_BODY_MB",), _megabytes),
    _Variable("max_image_mb", ("SPML_MAX_IMAGE_MB",), _number(0.01, 4096)),
    _Variable("max_pixels", ("SPML_MAX_PIXELS",), _whole(1, 1_000_000_000)),
    _Variable("fetch_seconds", ("SPML_FETCH_SECONDS",), _number(0.1, 3600)),
)
