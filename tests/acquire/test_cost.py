import pytest

from spml_annotate.acquire import PRICES, Prices, load_prices
from spml_annotate.errors import DataError, SettingError


def test_every_price_has_a_source_and_lies_in_its_range():
    for name, price in PRICES.items():
        assert price.low <= price.seconds <= price.high, name
        assert price.source, name
        assert getattr(Prices(), name) == price.seconds


def test_a_full_check_of_coco_costs_what_was_published():
    assert Prices().full_check(91, 3.5) == pytest.approx(27.4, abs=1.0)


def test_prices_come_from_a_file_and_the_rest_keeps_its_default(tmp_path):
    file = tmp_path / "costs.toml"
    file.write_text("[seconds]\nverify = 1.0\npick = 4\n")
    assert load_prices(file) == Prices(verify=1.0, pick=4)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[seconds]\npik = 1", SettingError, "names pik; write a table"),
        ("seconds = 1\n[", DataError, "is not a TOML file"),
        ("[seconds]\npick = -1", SettingError, "price pick = -1"),
        ("[seconds]\npick = 'a'", SettingError, "price pick = 'a'"),
        ("[second]\npick = 1", SettingError, "names second"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, error, message):
    file = tmp_path / "costs.toml"
    file.write_text(text)
    with pytest.raises(error, match=message):
        load_prices(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        load_prices(tmp_path / "none.toml")
