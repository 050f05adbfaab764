"""Label Studio's two kinds of token: the legacy one is sent as it is, a personal one is exchanged every few minutes."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from spml_annotate.errors import SettingError

TokenKind = Literal["legacy", "personal"]
MARGIN_SECONDS = 60.0
"""An access token (300 s in Label Studio) is renewed this long before it ends."""


def token_kind(token: str) -> TokenKind:
    """Which kind a token is, by its form: a personal access token is a JSON Web Token.

    Raises:
        SettingError: if it is empty, has blanks, or is one of the five-minute tokens that a personal one buys.
    """
    if not token or any(character.isspace() or not character.isprintable() for character in token):
        raise SettingError("LABEL_STUDIO_API_KEY is empty or has blanks inside; copy the token again")
    if not token.isascii():
        raise SettingError("LABEL_STUDIO_API_KEY has letters that no token has; copy the token again")
    if token.count(".") != 2:
        return "legacy"
    if claims(token).get("token_type") == "access":
        raise SettingError(
            "LABEL_STUDIO_API_KEY is an access token, which ends after minutes; give the personal access token itself"
        )
    return "personal"


def claims(token: str) -> Mapping[str, Any]:
    """What a JSON Web Token says of itself, unchecked; empty if it cannot be read."""
    try:
        body = token.split(".")[1]
        read = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return read if isinstance(read, dict) else {}


class Tokens:
    """Gives the ``Authorization`` header; of many threads that need a new access token, one fetches it for all.

    Args:
        token: legacy token or personal access token.
        exchange: personal token → access token; called by one thread at a time.
        clock: seconds that never run backwards.
    """

    def __init__(self, token: str, exchange: Callable[[str], str], clock: Callable[[], float] = time.monotonic) -> None:
        self.kind = token_kind(token)
        self._token = token
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.Lock()
        self._access = ""
        self._until = 0.0

    def __repr__(self) -> str:
        return f"Tokens(kind={self.kind!r})"

    def header(self) -> str:
        """Value of ``Authorization`` for the next request."""
        if self.kind == "legacy":
            return f"Token {self._token}"
        with self._lock:
            if self._clock() >= self._until:
                self._renew()
            return f"Bearer {self._access}"

    def refused(self, header: str) -> bool:
        """Told that a header brought 401: whether it is worth trying once more with another."""
        if self.kind == "legacy":
            return False
        with self._lock:
            if header == f"Bearer {self._access}":  # else another thread has renewed it in the meantime
                self._renew()
            return True

    def hide(self, text: str) -> str:
        """The text without any token in it."""
        for secret in (self._token, self._access):
            if secret:
                text = text.replace(secret, "(token)")
        return text

    def _renew(self) -> None:
        access = self._exchange(self._token)
        said = claims(access)
        try:
            lasts = float(said["exp"]) - float(said["iat"])
        except (KeyError, TypeError, ValueError):
            lasts = 0.0
        # Lifetimes are counted from here on our own clock: the server's may be wrong. A very short one is not renewed
        # at every request for want of a margin.
        self._access, self._until = access, self._clock() + max(lasts - MARGIN_SECONDS, lasts / 2)
