"""Tables in Markdown, for Prefect's page, for commit messages, and for `convdepth compare`."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """Write a table.

    Args:
        header: The names of the columns.
        rows: The cells of each row.
        words: How many of the first columns hold words; numbers, in the others, stand right.

    Returns:
        Lines without a newline at the end.
    """
    rule = "|---" * words + "|--:" * (len(header) - words) + "|"
    return "\n".join([_line(header), rule, *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
