"""Both kinds of token: told apart, renewed in time by one thread for all, and never shown."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spml_annotate.errors import RemoteError, SettingError
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.tokens import Tokens, claims, token_kind

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def jwt(**said):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "x"}, said)]
    return ".".join([*parts, "c2lnbmVk"])


PERSONAL = jwt(token_type="refresh", exp=10**10, iat=0)


class Exchange:
    """Gives access tokens that differ, and counts how many."""

    def __init__(self, lasts=300.0):
        self.given, self.lasts, self.now = 0, lasts, 1000.0

    def __call__(self, token):
        assert token == PERSONAL
        self.given += 1
        return jwt(token_type="access", iat=5, exp=5 + self.lasts, number=self.given)

    def clock(self):
        return self.now


def test_kinds_are_told_apart():
    assert token_kind(LEGACY) == "legacy"
    assert token_kind(PERSONAL) == "personal"
    assert token_kind("a.b.c") == "personal"
    for wrong in ("", "two words", "line\nbreak", "tökén", jwt(token_type="access")):
        with pytest.raises(SettingError, match="LABEL_STUDIO_API_KEY") as caught:
            token_kind(wrong)
        assert not wrong or wrong not in str(caught.value)


def test_claims_of_what_is_no_token():
    assert claims("a.b.c") == {}
    assert claims("abc") == {}
    assert claims("a.WzFd.c") == {}


def test_a_legacy_token_goes_as_it_is():
    tokens = Tokens(LEGACY, exchange=lambda _: pytest.fail("nothing to exchange"))
    assert tokens.header() == f"Token {LEGACY}"
    assert tokens.refused(tokens.header()) is False
    assert LEGACY not in repr(tokens)
    assert tokens.hide(f"bad token {LEGACY}!") == "bad token (token)!"


def test_an_access_token_is_renewed_before_it_ends():
    exchange = Exchange()
    tokens = Tokens(PERSONAL, exchange, exchange.clock)
    first = tokens.header()
    exchange.now += 239.0
    assert tokens.header() == first
    exchange.now += 2.0
    assert tokens.header() != first
    assert exchange.given == 2
    assert tokens.hide(tokens.header()) == "Bearer (token)"


def test_one_that_lasts_less_than_the_margin_is_used_for_half_its_life():
    exchange = Exchange(lasts=10.0)
    tokens = Tokens(PERSONAL, exchange, exchange.clock)
    first = tokens.header()
    exchange.now += 4.0
    assert tokens.header() == first
    exchange.now += 2.0
    assert tokens.header() != first


def test_many_threads_renew_once():
    exchange = Exchange()
    tokens = Tokens(PERSONAL, exchange, exchange.clock)
    barrier = threading.Barrier(12)

    def ask(_):
        barrier.wait()
        return tokens.header()

    with ThreadPoolExecutor(12) as pool:
        headers = set(pool.map(ask, range(12)))
    assert (len(headers), exchange.given) == (1, 1)

    def refuse(_):
        barrier.wait()
        return tokens.refused(next(iter(headers)))

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(refuse, range(12))) == {True}
    assert exchange.given == 2


@pytest.fixture
def only_personal(label_studio):
    """The shared server with legacy tokens off, as it is by default; on again afterwards."""
    settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    with label_studio.client(label_studio.personal_token) as client:
        client.request("POST", "/api/jwt/settings", json=settings)
        try:
            yield client
        finally:
            client.request("POST", "/api/jwt/settings", json={**settings, "legacy_api_tokens_enabled": True})


@pytest.mark.slow
def test_a_personal_token_where_legacy_ones_are_off(label_studio, only_personal):
    assert only_personal.token_kind == "personal"
    assert only_personal.whoami()["email"] == label_studio.username
    with label_studio.client() as legacy, pytest.raises(RemoteError, match=r"legacy token.*off by default") as caught:
        legacy.whoami()
    assert caught.value.status == 401
    for secret in (label_studio.token, label_studio.personal_token):
        assert secret not in str(caught.value) + repr(legacy) + repr(only_personal)


@pytest.mark.slow
def test_many_threads_share_a_client(label_studio):
    with label_studio.client(label_studio.personal_token) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.whoami()["email"], range(24)))
    assert set(found) == {label_studio.username}


@pytest.mark.slow
def test_an_access_token_that_is_refused_is_renewed_once(label_studio):
    with label_studio.client(label_studio.personal_token) as client:
        before = client.authorization()
        client._tokens._access = before.removeprefix("Bearer ")[:-3] + "AAA"  # as if the server's key had changed
        assert client.whoami()["email"] == label_studio.username


@pytest.mark.slow
def test_a_personal_token_of_another_server(label_studio):
    other = jwt(token_type="refresh", exp=10**10, iat=0, user_id=1)
    with StudioClient(label_studio.url, other) as client, pytest.raises(RemoteError, match="revoked") as caught:
        client.whoami()
    assert caught.value.status == 401
    assert other not in str(caught.value)
