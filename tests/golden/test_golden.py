"""Every entry of the file of reference values that our losses cover."""

from golden_compare import DIFFERED, judge


def test_golden_entry(golden_entry, golden, golden_tally):
    try:
        verdict = judge(golden_entry, golden)
    except Exception:
        golden_tally[DIFFERED] += 1
        raise
    golden_tally[verdict.status] += 1
    assert not verdict.problems, "; ".join(verdict.problems)
