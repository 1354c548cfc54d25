"""The page about the data."""

from pathlib import Path

from convdepth.data.validation.run import Outcome
from convdepth.data.validation.validate import write_page


def test_the_page_shows_broken_rules_first_and_loads_nothing(tmp_path: Path) -> None:
    good = Outcome("things", "there are 3 rows", holds=True, observed=3)
    bad = Outcome("things", "each size is <= 9", holds=False, reason="train 1, " * 20 + "end")
    text = write_page([good, bad], tmp_path / "für Menschen").read_text(encoding="utf-8")
    assert "1 of 2" in text
    assert text.index("each size is &lt;= 9") < text.index("there are 3 rows")
    assert bad.reason in text
    assert not any(word in text for word in ("http", "src=", "href=", "url(", "@import"))
