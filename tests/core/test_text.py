"""Words for numbers of things."""

from convdepth.core.text import counted, markdown_table, name_first, suggest


def test_one_and_more() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_what_is_many_is_shortened() -> None:
    assert name_first(["a", "b"], 2) == "a, b"
    assert name_first(["a", "b", "c"], 2) == "a, b and 1 more"
    assert name_first([]) == ""


def test_what_may_have_been_meant() -> None:
    assert suggest("fats", ["fast", "tuned"]) == "; did you mean fast?"
    assert suggest("something", ["fast", "tuned"]) == ""


def test_words_stand_left_and_numbers_right() -> None:
    table = markdown_table(["network", "before", "after"], [["cnn1", "1", "2"]], words=1)
    assert table.splitlines() == [
        "| network | before | after |",
        "|---|--:|--:|",
        "| cnn1 | 1 | 2 |",
    ]
