"""Rules run over a table by Great Expectations.

Great Expectations reports and never fails: a rule that cannot be computed is a result like any
other, a rule that was left out is none, and no rule at all is a success. Here each rule that was
written has an outcome, and an empty table or an empty list of rules is one that does not hold.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    # It imports a module that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation import Expectation

from convdepth.core.files import explained_temporary_folder

FIRST_ROWS = 5
"""So many of the rows that break a rule are named."""


@dataclass(frozen=True)
class Table:
    """A table and its rules.

    Attributes:
        name: One word.
        rows: The table.
        keys: The columns that name a row.
        rules: Expectations, each with a description that no other one has.
    """

    name: str
    rows: pd.DataFrame
    keys: Sequence[str]
    rules: Sequence[Expectation]


@dataclass(frozen=True)
class Outcome:
    """What became of one rule.

    Attributes:
        table: The name of the table that it is about.
        rule: The rule in words.
        holds: Whether the table keeps it.
        observed: What was found, for a rule about a whole table or column.
        num_broken: The number of rows that break it, for a rule about rows.
        reason: Why it does not hold, in words; empty where it holds.
    """

    table: str
    rule: str
    holds: bool
    observed: Any = None
    num_broken: int | None = None
    reason: str = ""


def open_context() -> EphemeralDataContext:
    """Start Great Expectations in memory, without telemetry and without progress bars.

    Raises:
        MachineError: It gets no temporary folder.
    """
    with explained_temporary_folder():
        context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def inspect(context: EphemeralDataContext, table: Table) -> list[Outcome]:
    """Run the rules of a table.

    Args:
        context: From `open_context`. It keeps the results, so that there can be pages about them.
        table: The table and its rules; no other one in this context has its name.

    Returns:
        One outcome for each rule, in the order of the rules; or the only one, that there is
        nothing to inspect.
    """
    if table.rows.empty or not table.rules:
        found = f"found {len(table.rows)} rows and {len(table.rules)} rules"
        return [Outcome(table.name, "there is something to inspect", holds=False, reason=found)]
    results = _validate(context, table)
    words = [str(rule.description) for rule in table.rules]
    return [_outcome(table, rule, results.get(rule)) for rule in words]


def _validate(
    context: EphemeralDataContext, table: Table
) -> dict[str, ExpectationValidationResult]:
    """Give each result under the description of its rule; they come in another order."""
    name = table.name
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(table.rules)))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole")
    definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
    result_format = {
        "result_format": "SUMMARY",
        "partial_unexpected_count": FIRST_ROWS,
        "unexpected_index_column_names": list(table.keys),
    }
    validated = definition.run(
        batch_parameters={"dataframe": table.rows}, result_format=result_format
    )
    results = ((result.expectation_config, result) for result in validated.results)
    return {str(config.description): result for config, result in results if config}


def _outcome(table: Table, rule: str, result: ExpectationValidationResult | None) -> Outcome:
    if result is None:
        return Outcome(table.name, rule, holds=False, reason="it was not run")
    error = _find_error(result.exception_info or {})
    if error is not None:
        return Outcome(table.name, rule, holds=False, reason=f"it cannot be computed: {error}")
    found: Mapping[str, Any] = result.result
    return Outcome(
        table.name,
        rule,
        bool(result.success),
        found.get("observed_value"),
        found.get("unexpected_count"),
        "" if result.success else _explain(table, found),
    )


def _find_error(info: Mapping[str, Any]) -> str | None:
    # There is one record, or one for each metric that the rule needs.
    records = [info] if "raised_exception" in info else list(info.values())
    messages = [record["exception_message"] for record in records if record["raised_exception"]]
    return str(messages[0]) if messages else None


def _explain(table: Table, found: Mapping[str, Any]) -> str:
    if "unexpected_count" not in found:
        # Great Expectations gives none for what is infinite, such as a divergence.
        observed = found.get("observed_value")
        return "found no finite value" if observed is None else f"found {_show(observed)}"
    number = found["unexpected_count"]
    examples = found.get("partial_unexpected_index_list") or []
    rows = "; ".join(_show_row(table.keys, example) for example in examples)
    return f"{number:,} {'row breaks' if number == 1 else 'rows break'} it, first {rows}"


def _show_row(keys: Sequence[str], row: Mapping[str, Any]) -> str:
    values = [f"{name} {_show(value)}" for name, value in row.items() if name not in keys]
    return f"{' '.join(_show(row[key]) for key in keys)}: {', '.join(values)}"


def _show(value: Any) -> str:
    if isinstance(value, list | set):
        return ", ".join(sorted(map(_show, value))) or "none"
    if pd.isna(value):
        return "no value"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
