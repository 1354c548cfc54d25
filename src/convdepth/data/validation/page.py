"""An HTML page about the data: the outcome of each rule."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from convdepth.core.files import write_text
from convdepth.data.validation.run import Outcome

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Data rules</title>
<style>
body { font: 15px/1.5 sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border: 1px solid #bbb !important; padding: 0.3rem 0.6rem; text-align: left; }
</style></head><body>
"""


def write_page(outcomes: Sequence[Outcome], docs: Path) -> Path:
    """Write the outcomes, broken rules first, to ``index.html`` in a folder; it loads nothing."""
    num_broken = sum(not outcome.holds for outcome in outcomes)
    verdict = f"{num_broken} of {len(outcomes)} are broken" if num_broken else "all hold"
    table = pd.DataFrame(list(outcomes), dtype=object).sort_values("holds", kind="stable")
    with pd.option_context("display.max_colwidth", None):
        body = table.fillna("").to_html(index=False)
    page = docs / "index.html"
    write_text(page, f"{_HEAD}<h1>Data rules: {verdict}</h1>\n{body}\n</body></html>\n")
    return page
