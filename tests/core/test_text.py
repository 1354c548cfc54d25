"""Words for numbers of things."""

from convdepth.core.text import counted, name_first, suggest


def test_one_and_more() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_what_is_many_is_shortened() -> None:
    assert name_first(["a", "b"], 2) == "a, b"
    assert name_first(["a", "b", "c"], 2) == "a, b and 1 more"
    assert name_first([]) == ""


def test_what_may_have_been_meant() -> None:
    assert suggest("fats", ["fast", "tuned"]) == "; did you mean fast?"
    assert suggest("something", ["fast", "tuned"]) == ""
