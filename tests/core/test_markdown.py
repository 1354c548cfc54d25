"""Tables in Markdown."""

from convdepth.core.markdown import markdown_table


def test_words_stand_left_and_numbers_right() -> None:
    table = markdown_table(["network", "before", "after"], [["cnn1", "1", "2"]], words=1)
    assert table.splitlines() == [
        "| network | before | after |",
        "|---|--:|--:|",
        "| cnn1 | 1 | 2 |",
    ]
