"""The record of comparisons that ships with the package is what a fresh run finds."""

import pytest
from golden_file import COMPACT, default_file, load_golden
from make_status import as_csv, status

from spml_annotate.losses import LOSSES
from spml_annotate.losses.records import comparisons
from spml_annotate.resources import resource

HOW = "run: python tests/golden/make_status.py ../shared/golden/losses.json"


@pytest.mark.slow
def test_the_record_is_what_a_fresh_run_finds(checkout):
    whole = default_file(checkout)
    if whole == COMPACT:
        pytest.skip("../shared/golden/losses.json is not beside the checkout")
    assert resource("losses/golden.csv").read_text("utf-8") == as_csv(status(load_golden(whole))), HOW


def test_the_compact_copy_finds_no_loss_and_no_entry_beyond_the_record():
    recorded = comparisons()
    for name, found in status(load_golden(COMPACT)).items():
        assert found["matched"] <= recorded[name].matched, HOW
        assert found["formula"] <= recorded[name].formula, HOW
        assert found["refused"] <= recorded[name].refused, HOW


def test_every_recorded_loss_is_there_and_was_compared():
    for name, made in comparisons().items():
        assert name in LOSSES, HOW
        assert made.matched + made.formula > 0
