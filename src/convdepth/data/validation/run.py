"""Run the rules of a table with Great Expectations, and fail where it would pass vacuously.

Great Expectations counts a rule that breaks as an ordinary result, drops a lost rule, and passes an
empty suite. Here each rule has an outcome, and an empty table or suite does not hold.
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
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation import Expectation

from convdepth.core.files import explained_temporary_folder

FIRST_ROWS = 5
"""Rows named for a broken rule."""


@dataclass(frozen=True)
class Table:
    """A table and its rules.

    Attributes:
        name: Unique among the tables of a context.
        rows: The table.
        keys: The columns that name a row.
        rules: Expectations with unique descriptions.
    """

    name: str
    rows: pd.DataFrame
    keys: Sequence[str]
    rules: Sequence[Expectation]


@dataclass(frozen=True)
class Outcome:
    """The result of one rule.

    Attributes:
        table: The name of its table.
        rule: Its description.
        holds: Whether the table keeps it.
        observed: The observed value, for a rule about a table or column.
        num_broken: The number of rows that break it, for a rule about rows.
        reason: Why it does not hold; empty if it holds.
    """

    table: str
    rule: str
    holds: bool
    observed: Any = None
    num_broken: int | None = None
    reason: str = ""


def open_context() -> EphemeralDataContext:
    """Start Great Expectations in memory, without telemetry and progress bars.

    Raises:
        MachineError: There is no temporary folder.
    """
    with explained_temporary_folder():
        context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def inspect(context: EphemeralDataContext, table: Table) -> list[Outcome]:
    """Run the rules of a table; the context keeps the results for the pages.

    Returns:
        One outcome per rule, in their order; or one outcome that there is nothing to inspect.
    """
    if table.rows.empty or not table.rules:
        found = f"found {len(table.rows)} rows and {len(table.rules)} rules"
        return [Outcome(table.name, "there is something to inspect", holds=False, reason=found)]
    results = _validate(context, table)
    descriptions = [str(rule.description) for rule in table.rules]
    return [_outcome(table, rule, results.get(rule)) for rule in descriptions]


def _validate(
    context: EphemeralDataContext, table: Table
) -> dict[str, ExpectationValidationResult]:
    name = table.name
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(table.rules)))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole")
    validated = gx.ValidationDefinition(name=name, data=batch, suite=suite).run(
        batch_parameters={"dataframe": table.rows},
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": FIRST_ROWS,
            "unexpected_index_column_names": list(table.keys),
        },
    )
    results = ((result.expectation_config, result) for result in validated.results)
    return {str(config.description): result for config, result in results if config}


def _outcome(table: Table, rule: str, result: ExpectationValidationResult | None) -> Outcome:
    if result is None:
        return Outcome(table.name, rule, holds=False, reason="it was not run")
    error = _find_error(result.exception_info or {})
    if error is not None:
        return Outcome(table.name, rule, holds=False, reason=f"it cannot be computed: {error}")
    found = result.result
    reason = "" if result.success else _explain(table.keys, found)
    observed, num_broken = found.get("observed_value"), found.get("unexpected_count")
    return Outcome(table.name, rule, bool(result.success), observed, num_broken, reason)


def _find_error(info: Mapping[str, Any]) -> str | None:
    # One record, or one for each metric of the rule.
    records = [info] if "raised_exception" in info else list(info.values())
    messages = [record["exception_message"] for record in records if record["raised_exception"]]
    return str(messages[0]) if messages else None


def _explain(keys: Sequence[str], found: Mapping[str, Any]) -> str:
    number = found.get("unexpected_count")
    if number is None:
        # Great Expectations observes nothing where the value is infinite, such as a divergence.
        observed = found.get("observed_value")
        return "found no finite value" if observed is None else f"found {_show(observed)}"
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
