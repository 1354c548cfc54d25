"""Small helpers for messages and Markdown."""

from convdepth.core.text import counted, markdown_table, name_first, suggest


def test_numbers_and_names_in_messages() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert name_first(["a", "b"], 2) == "a, b"
    assert name_first(["a", "b", "c"], 2) == "a, b and 1 more"
    assert suggest("fats", ["fast", "tuned"]) == "; did you mean fast?"
    assert suggest("something", ["fast", "tuned"]) == ""


def test_words_stand_left_and_numbers_right() -> None:
    table = markdown_table(["network", "before", "after"], [["cnn1", "1", "2"]], words=1)
    assert table == "| network | before | after |\n|---|--:|--:|\n| cnn1 | 1 | 2 |"
