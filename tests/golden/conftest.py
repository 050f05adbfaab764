"""One test per entry of the file of reference values, and the summary line that counts them."""

from collections import Counter

import pytest
from golden_compare import NOT_COVERED
from golden_file import Golden, default_file, load_golden
from golden_methods import adapter_of

_GOLDEN = pytest.StashKey[Golden]()
_TALLY = pytest.StashKey[Counter]()


def _golden(config) -> Golden:
    if _GOLDEN not in config.stash:
        path = config.getoption("--golden") or default_file(config.rootpath)
        try:
            config.stash[_GOLDEN] = load_golden(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise pytest.UsageError(f"--golden {path}: not a file of reference values ({error!r})") from error
        config.stash[_TALLY] = Counter()
    return config.stash[_GOLDEN]


def pytest_generate_tests(metafunc):
    if "golden_entry" in metafunc.fixturenames:
        entries = [entry for entry in _golden(metafunc.config).entries if adapter_of(entry) is not None]
        metafunc.parametrize("golden_entry", entries, ids=[entry["id"] for entry in entries])


@pytest.fixture(scope="session")
def golden(pytestconfig) -> Golden:
    """The file of reference values."""
    return _golden(pytestconfig)


@pytest.fixture(scope="session")
def golden_tally(pytestconfig, golden) -> Counter:
    """How many entries came out how; printed at the end."""
    return pytestconfig.stash[_TALLY]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside all others, so that the line is the last of the summary
def pytest_terminal_summary(terminalreporter, config):
    result = yield
    tally = config.stash.get(_TALLY, Counter())
    if tally or (_GOLDEN in config.stash and config.getoption("--golden")):  # nothing compared is a result, too
        left_out = [entry for entry in config.stash[_GOLDEN].entries if adapter_of(entry) is None]
        methods = ", ".join(dict.fromkeys(entry["method"] for entry in left_out)) or "none"
        counts = {**{status: tally[status] for status in ("matched", "differed", "refused_by_authors")}}
        counts[NOT_COVERED] = len(left_out)
        terminalreporter.write_line(
            f"golden: {' '.join(f'{status}={count}' for status, count in counts.items())} ({methods})"
        )
    return result
