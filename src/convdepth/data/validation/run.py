"""Run the rules of a table with Great Expectations, and fail where it would pass vacuously.

Great Expectations counts a rule that breaks as an ordinary result, and passes an empty suite. Here
each rule has an outcome, and an empty table or suite does not hold.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a deprecated module
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation import Expectation

from convdepth.core.files import explained_temporary_folder

FIRST_ROWS = 5  # rows named for a broken rule


@dataclass(frozen=True)
class Outcome:
    """The result of one rule of a table."""

    table: str
    rule: str
    holds: bool
    observed: Any = None  # the observed value, for a rule about a table or column
    num_broken: int | None = None  # the number of rows that break it, for a rule about rows
    reason: str = ""  # why it does not hold


def inspect(
    table: str, rows: pd.DataFrame, keys: Sequence[str], rules: Sequence[Expectation]
) -> list[Outcome]:
    """Return one outcome per rule, in their order, or one that there is nothing to inspect.

    ``keys`` are the columns that name a row; the descriptions of ``rules`` are unique.
    """
    if rows.empty or not rules:
        found = f"found {len(rows)} rows and {len(rules)} rules"
        return [Outcome(table, "there is something to inspect", holds=False, reason=found)]
    results = _validate(rows, keys, rules)
    descriptions = [str(rule.description) for rule in rules]
    return [_outcome(table, rule, keys, results.get(rule)) for rule in descriptions]


def _validate(
    rows: pd.DataFrame, keys: Sequence[str], rules: Sequence[Expectation]
) -> dict[str, ExpectationValidationResult]:
    with explained_temporary_folder():
        context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    validated = context.data_sources.pandas_default.read_dataframe(rows).validate(
        gx.ExpectationSuite(name="rules", expectations=list(rules)),
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": FIRST_ROWS,
            "unexpected_index_column_names": list(keys),
        },
    )
    results = ((result.expectation_config, result) for result in validated.results)
    return {str(config.description): result for config, result in results if config}


def _outcome(
    table: str, rule: str, keys: Sequence[str], result: ExpectationValidationResult | None
) -> Outcome:
    if result is None:
        return Outcome(table, rule, holds=False, reason="it was not run")
    info = result.exception_info or {}
    # One record, or one for each metric of the rule.
    for record in [info] if "raised_exception" in info else info.values():
        if record["raised_exception"]:
            reason = f"it cannot be computed: {record['exception_message']}"
            return Outcome(table, rule, holds=False, reason=reason)
    found = result.result
    observed, num_broken = found.get("observed_value"), found.get("unexpected_count")
    reason = "" if result.success else _explain(keys, found)
    return Outcome(table, rule, bool(result.success), observed, num_broken, reason)


def _explain(keys: Sequence[str], found: Mapping[str, Any]) -> str:
    if "unexpected_count" not in found:
        # Great Expectations observes nothing where the value is infinite, such as a divergence.
        observed = found.get("observed_value")
        return "found no finite value" if observed is None else f"found {_show(observed)}"
    number = found["unexpected_count"]
    rows = []
    for row in found.get("partial_unexpected_index_list") or []:
        values = [f"{name} {_show(value)}" for name, value in row.items() if name not in keys]
        rows.append(f"{' '.join(_show(row[key]) for key in keys)}: {', '.join(values)}")
    return f"{number:,} {'row breaks' if number == 1 else 'rows break'} it, first {'; '.join(rows)}"


def _show(value: Any) -> str:
    if isinstance(value, list | set):
        return ", ".join(sorted(map(_show, value))) or "none"
    if pd.isna(value):
        return "no value"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
