"""What a reader may say to the warehouse, beyond what the engine's own read-only mode refuses.

Belongs here: which settings and statements are harmless. Does not belong here: running them (`serve.py`).

The checks read the form the engine's own parser gives a statement: a second parser beside it would sooner or later
read something differently.
"""

import re
from collections.abc import Collection, Mapping

from warehouse_sql.engine import EngineQueryError

_READ_KINDS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
_HARMLESS_SETTINGS = frozenset(
    {
        "aggregate_functions_null_for_empty",
        "any_join_distinct_right_table_keys",
        "cast_keep_nullable",
        "extremes",
        "group_by_use_nulls",
        "join_use_nulls",
        "joined_subquery_requires_alias",
        "limit",
        "max_block_size",
        "offset",
        "prefer_column_name_to_alias",
        "session_timezone",
        "transform_null_in",
        "union_default_mode",
    }
)
_HARMLESS_PREFIXES = ("output_format_", "date_time_")
# Writes a file on this host.
_HARMFUL_SETTINGS = frozenset({"output_format_schema"})

# Table functions that reach nothing outside the warehouse; every other one is refused, those of later engines too.
SAFE_TABLE_FUNCTIONS = frozenset(
    {
        "format",
        "generate_series",
        "generaterandom",
        "generateseries",
        "merge",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "values",
        "view",
        "viewexplain",
        "viewifpermitted",
        "zeros",
        "zeros_mt",
    }
)
# The engine lets these through in read-only mode; as a bare name they work inside APPLY and arrayMap, so the name alone
# is refused.
_HARMFUL_NAME = re.compile(r"file|catboostevaluate|ai[A-Z]\w*", re.ASCII)
_TOKEN = re.compile(
    r"(?P<text>'(?:[^'\\]|\\.|'')*')|`(?P<quoted>(?:[^`\\]|\\.|``)*)`|(?P<word>\w+)|(?P<mark>\S)", re.DOTALL
)


def harmless(settings: Mapping[str, str]) -> dict[str, str]:
    """Those settings a reader may choose; the others are ignored, as their senders can live without them."""
    return {
        name: value
        for name, value in settings.items()
        if (name in _HARMLESS_SETTINGS or name.startswith(_HARMLESS_PREFIXES)) and name not in _HARMFUL_SETTINGS
    }


def refusal(reason: str) -> EngineQueryError:
    """The error a server in read-only mode would answer with."""
    return EngineQueryError(f"Code: 164. DB::Exception: {reason}; this endpoint only reads the warehouse. (READONLY)")


def check_statement(canonical: str, denied_functions: Collection[str]) -> None:
    """Refuse what is not one harmless reading statement.

    Args:
        canonical: the statement as the engine's ``formatQuery`` writes it: one statement, no comments, no heredocs.
        denied_functions: lower-case names of table functions that reach beyond the warehouse.

    Raises:
        EngineQueryError: with the code READONLY.
    """
    tokens = [(found.lastgroup or "", found.group(found.lastgroup or 0)) for found in _TOKEN.finditer(canonical)]
    kind = next((value.upper() for group, value in tokens if group != "mark" or value != "("), "")
    if kind not in _READ_KINDS:
        raise refusal(f"Cannot run a {kind[:40] or 'nameless'} statement")
    values = [value for _, value in tokens] + ["", ""]
    for index, (group, value) in enumerate(tokens):
        if group in ("word", "quoted"):
            _check_name(value, values[index + 1], denied_functions)
        # The engine guards the statement's own clause, yet takes those of subqueries without a word.
        if group == "word" and value.upper() == "SETTINGS" and values[index + 2] == "=":
            raise refusal("SETTINGS are not allowed in a statement, put them into the address")


def _check_name(name: str, successor: str, denied_functions: Collection[str]) -> None:
    upper = name.upper()
    if upper == "OUTFILE" or (upper == "PARALLEL" and successor.upper() == "WITH"):
        raise refusal(f"{upper} is not allowed")
    if _HARMFUL_NAME.fullmatch(name) or (successor == "(" and name.lower() in denied_functions):
        raise refusal(f"The function {name} is not allowed")
