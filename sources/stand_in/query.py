"""How a list method reads its parameters: PHP-style keys, filters, order, select, pages.

Belongs here: pure functions over dictionaries. Does not belong here: which method has which fields (`methods.py`),
HTTP (`server.py`).

A filter is compiled once per call into bounds on the id, found by bisection, and one predicate for the rest.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from math import floor
from operator import ge, gt, le, lt
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_plus

from sources.stand_in.state import Record

PAGE = 50

Value: TypeAlias = Any
"""What JSON or a PHP-style form can carry: a scalar, or lists and maps of them, unchecked as a caller sent it."""

Kind = Literal["number", "link", "string", "datetime", "date", "flag", "active"]
Predicate = Callable[[Record], bool]
Reader = Callable[[Any], Any]


class QueryError(ValueError):
    """A parameter the portal refuses; the text is what it answers."""


# --- PHP-style keys -----------------------------------------------------------------------------------------------

_BRACKETS = re.compile(r"\[([^\]]*)\]")


def decode(query: str) -> Record:
    """Decodes `a[b][]=c&…` into nested maps and lists, with escapes in keys and values.

    Args:
        query: a query string or a form body; a trailing `&` is tolerated.

    Returns:
        Parameters; every scalar is a string, maps with keys 0..n-1 are lists.
    """
    root: Record = {}
    for pair in query.split("&"):
        if not pair:
            continue
        raw_key, _, raw_value = pair.partition("=")
        _put(root, unquote_plus(raw_key), unquote_plus(raw_value))
    return {key: _lists(value) for key, value in root.items()}


def _put(root: Record, key: str, value: str) -> None:
    base, bracket, _ = key.partition("[")
    parts = [base, *_BRACKETS.findall(key[len(base) :])] if bracket and base else [key]
    node = root
    for part in parts[:-1]:
        step = part or _next_number(node)
        child = node.get(step)
        if not isinstance(child, dict):
            child = {}
            node[step] = child
        node = child
    node[parts[-1] or _next_number(node)] = value


def _next_number(node: Record) -> str:
    return str(max((int(key) for key in node if key.isdigit()), default=-1) + 1)


def _lists(value: Value) -> Value:
    if not isinstance(value, dict):
        return value
    decoded = {key: _lists(child) for key, child in value.items()}
    return list(decoded.values()) if list(decoded) == [str(n) for n in range(len(decoded))] else decoded


def php_map(values: Record) -> Record | list[Any]:
    """A map as PHP writes it: an empty one and one with keys 0..n-1 become lists."""
    if all(key == str(number) for number, key in enumerate(values)):
        return list(values.values())
    return values


def as_map(value: Value) -> Record:
    """A parameter that has to be a map: lists (PHP) become maps with numeric keys, scalars count as nothing."""
    if isinstance(value, dict):
        return {str(key): child for key, child in value.items()}
    if isinstance(value, list):
        return {str(number): child for number, child in enumerate(value)}
    return {}


def as_list(value: Value) -> list[Any]:
    """A parameter that has to be a list: numeric maps (PHP) become lists, a scalar becomes a list of one."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values())
    return [] if value is None or value == "" else [value]


def lookup(params: Mapping[str, Any], *names: str) -> Value:
    """The first parameter that is there, by any of its spellings."""
    for name in names:
        if name in params:
            return params[name]
    return None


# --- Fields -------------------------------------------------------------------------------------------------------

ALL_PREFIXES = ("!=%", "!%=", "!@", "!%", "!=", ">=", "<=", "=%", "%=", "!", ">", "<", "=", "@", "%", "")
TASK_PREFIXES = (">=", "<=", "!", ">", "<", "@", "=", "")


@dataclass(frozen=True)
class Schema:
    """Which names a list method takes, and how their values compare.

    Attributes:
        kinds: field name as requests write it, to the kind of its values.
        zone: offset of moments written without one.
        id_name: the name of the id in filters and orders.
        prefixes: comparison prefixes the method knows, longest first.
        strict: refuse unknown filter names (crm, tasks) or pass over them (users, departments).
        key: request name to the key in the stored row.
        is_iso_read: whether filters read ISO moments; some portals take only `Y-m-d H:i:s`.
    """

    kinds: Mapping[str, Kind]
    zone: timezone
    id_name: str = "id"
    prefixes: tuple[str, ...] = ALL_PREFIXES
    strict: bool = True
    key: Callable[[str], str] = str
    is_iso_read: bool = True


def moment(value: Value, zone: timezone) -> datetime:
    """Reads a date or moment in any form the portal takes.

    Args:
        value: ISO with or without offset, `Y-m-d H:i:s` or `Y-m-d`.
        zone: offset of a value that carries none.

    Raises:
        ValueError: it is none of these.
    """
    read = datetime.fromisoformat(str(value).strip())
    return read.replace(tzinfo=zone) if read.tzinfo is None else read.astimezone(zone)


def _number(value: Value) -> Value:
    if value.__class__ is int:
        return value
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (ValueError, TypeError):
        pass
    try:
        return float(value)
    except (ValueError, TypeError):
        return None  # a stored value that is no number compares with nothing


def _text(value: Value) -> Value:
    return value if value.__class__ is str or value is None else str(value)


def _date(value: Value) -> Value:
    # Date fields come as midnight in an odd offset: the date as written is the date.
    return str(value)[:10] if value else None


def _flag(value: Value) -> Value:
    if value is None or value == "":
        return None
    return 1 if value in ("Y", "1", 1, True) else 0


def _moments(zone: timezone) -> Reader:
    suffix = datetime(2000, 1, 1, tzinfo=zone).isoformat()[19:]
    length = 19 + len(suffix)

    def read(value: Value) -> Value:
        if not value:
            return None
        if value.__class__ is str and len(value) == length and value.endswith(suffix):
            return value  # same offset, same width: strings compare as moments do
        try:
            return moment(value, zone).replace(microsecond=0).isoformat()
        except ValueError:
            return None

    return read


def reader(kind: Kind, zone: timezone) -> Reader:
    """How stored values of a kind become keys that compare (None = empty)."""
    if kind == "datetime":
        return _moments(zone)
    by_kind: dict[str, Reader] = {
        "number": _number,
        "link": _number,
        "date": _date,
        "flag": _flag,
        "active": _flag,
    }
    return by_kind.get(kind, _text)


# --- Filters ------------------------------------------------------------------------------------------------------

_RANGES: dict[str, Callable[[Any, Any], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
_FLAGS = {"flag": {"1": 1, "0": 0}, "active": {"1": 1, "0": 0, "Y": 1, "N": 0}}


@dataclass
class Filter:
    """A compiled filter: what the id must be, and a predicate for all the rest.

    Attributes:
        above: ids must be greater than or equal to this.
        below: ids must be smaller than this.
        ids: ids must be among these.
        predicate: what is left to test on each row; None lets all pass.
        rest: the parts the predicate is put together from.
    """

    above: float = float("-inf")
    below: float = float("inf")
    ids: set[Any] | None = None
    predicate: Predicate | None = None
    rest: list[Predicate] = field(default_factory=list)

    def narrow(self, operator: str, value: Value) -> bool:
        """Takes a condition on the id into the bounds, if it is one that bounds."""
        if operator in ("=", "@"):
            wanted = value if isinstance(value, set) else {value}
            self.ids = wanted if self.ids is None else self.ids & wanted
        elif operator in (">", ">="):
            self.above = max(self.above, floor(value) + 1 if operator == ">" else value)
        elif operator in ("<", "<="):
            self.below = min(self.below, value if operator == "<" else floor(value) + 1)
        else:
            return False
        return True


def split_prefix(name: str, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """Cuts a filter key into its prefix and its field name."""
    for prefix in prefixes:
        if name.startswith(prefix):
            return prefix, name[len(prefix) :]
    return "", name


def compile_filter(raw: Value, schema: Schema) -> Filter:
    """Compiles a filter parameter.

    Args:
        raw: the map (or PHP list) as it came.
        schema: the method's fields.

    Returns:
        The compiled filter; an empty one lets everything pass.

    Raises:
        QueryError: a field or a value the method does not take.
    """
    compiled = Filter()
    conditions = as_map(raw)
    if _logic(conditions) == "OR":
        compiled.rest.append(_group(conditions, schema))
    else:
        for name, value in conditions.items():
            _add(compiled, name, value, schema)
    compiled.predicate = _all(compiled.rest) if compiled.rest else None
    return compiled


def _add(compiled: Filter, name: str, value: Value, schema: Schema) -> None:
    if name.lower() == "logic":
        return
    if name.isdigit():
        compiled.rest.append(_group(as_map(value), schema))
        return
    bound = _id_bound(name, value, schema)
    if bound is not None and compiled.narrow(*bound):
        return
    predicate = _condition(name, value, schema)
    if predicate is not None:
        compiled.rest.append(predicate)


def _id_bound(name: str, value: Value, schema: Schema) -> tuple[str, Any] | None:
    prefix, field_name = split_prefix(name, schema.prefixes)
    if field_name != schema.id_name or _blank(value):
        return None
    operator = prefix or "="
    if operator in ("=", "@"):
        if isinstance(value, (list, dict)) or operator == "@":
            return "@", {_operand(entry, "number", field_name, schema) for entry in as_list(value)}
        return "=", _operand(value, "number", field_name, schema)
    if operator in _RANGES and not isinstance(value, (list, dict)):
        return operator, _operand(value, "number", field_name, schema)
    return None


def _logic(conditions: Record) -> str:
    for name, value in conditions.items():
        if name.lower() == "logic":
            return str(value).upper()
    return "AND"


def _group(conditions: Record, schema: Schema) -> Predicate:
    parts: list[Predicate] = []
    for name, value in conditions.items():
        if name.lower() == "logic":
            continue
        part = _group(as_map(value), schema) if name.isdigit() else _condition(name, value, schema)
        if part is not None:
            parts.append(part)
    if _logic(conditions) == "OR" and parts:
        return lambda row: any(part(row) for part in parts)
    return _all(parts)


def _all(parts: list[Predicate]) -> Predicate:
    if len(parts) == 1:
        return parts[0]
    return lambda row: all(part(row) for part in parts)


def _blank(value: Value) -> bool:
    return value is None or value is False or (isinstance(value, str) and value == "")


def _condition(name: str, value: Value, schema: Schema) -> Predicate | None:
    prefix, field_name = split_prefix(name, schema.prefixes)
    kind = schema.kinds.get(field_name)
    if kind is None:
        if schema.strict:
            raise QueryError(f"Invalid filter: field '{field_name}' is not allowed in filter")
        return None
    if kind == "datetime" and not schema.is_iso_read and not all(map(_is_plain_moment, as_list(value))):
        return lambda _: False
    operator = {"": "=", "!": "!="}.get(prefix, prefix)
    key = schema.key(field_name)
    if operator in _RANGES:
        return _range(operator, value, kind, field_name, schema)
    if "%" in operator:
        return _like(operator, value, key)
    negate = operator.startswith("!")
    if operator.endswith("=") and not isinstance(value, (list, dict)):
        if kind in _FLAGS and _flag_operand(value, kind) is None and not (value is None or value == ""):
            return None  # Y, N and the like are passed over, as portals do with boolean user fields
        if _blank(value) and not (kind in _FLAGS and value is False):
            return _empty(key, kind, wanted=not negate)
    return _member(as_list(value), kind, field_name, schema, negate=negate)


def _is_plain_moment(value: Value) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", str(value)) is not None


def _range(operator: str, value: Value, kind: Kind, name: str, schema: Schema) -> Predicate | None:
    if isinstance(value, (list, dict)):
        raise QueryError(f"Invalid filter: field '{name}' has invalid value")
    if _blank(value) and kind not in ("datetime", "date"):
        return None  # an unresolved $result leaves '': portals then compare with nothing
    wanted = _operand(value, kind, name, schema)
    compare = _RANGES[operator]
    return _test(schema.key(name), reader(kind, schema.zone), lambda found: compare(found, wanted), negate=False)


def _member(values: list[Any], kind: Kind, name: str, schema: Schema, *, negate: bool) -> Predicate:
    wanted = {_operand(value, kind, name, schema) for value in values if not _blank(value) or kind in _FLAGS}
    read = reader(kind, schema.zone)
    if len(wanted) == 1:
        (only,) = wanted
        return _test(schema.key(name), read, lambda found: bool(found == only), negate=negate)
    return _test(schema.key(name), read, wanted.__contains__, negate=negate)


def _like(operator: str, value: Value, key: str) -> Predicate:
    own_wildcards = "=" in operator
    texts = as_list(value) if isinstance(value, (list, dict)) else ["" if value is None else value]
    patterns = [str(entry) if own_wildcards else f"%{entry}%" for entry in texts]
    expressions = [".*".join(re.escape(part) for part in pattern.split("%")) for pattern in patterns]
    either = "|".join(f"(?:{each})" for each in expressions) or "(?!)"  # one of none: nothing matches
    matcher = re.compile(either, re.IGNORECASE | re.DOTALL).fullmatch
    return _test(key, _text, lambda found: matcher(found) is not None, negate=operator.startswith("!"))


def _empty(key: str, kind: Kind, *, wanted: bool) -> Predicate:
    def is_empty(row: Record) -> bool:
        value = row.get(key)
        blank = value is None or value == "" or value == [] or (kind == "link" and value in (0, "0"))
        return blank == wanted

    return is_empty


def _test(key: str, read: Reader, passes: Callable[[Any], bool], *, negate: bool) -> Predicate:
    def one(value: Value) -> bool:
        found = read(value)
        return found is not None and passes(found)

    def check(row: Record) -> bool:
        value = row.get(key)
        hit = any(map(one, value)) if value.__class__ is list else one(value)
        return hit != negate  # an empty value is "not equal" to anything, as the portal's SQL has it

    return check


def _flag_operand(value: Value, kind: Kind) -> int | None:
    if isinstance(value, bool):
        return int(value)
    return _FLAGS[kind].get(str(value))


def _operand(value: Value, kind: Kind, name: str, schema: Schema) -> Value:
    try:
        if kind in _FLAGS:
            return _flag_operand(value, kind)
        if kind == "date":
            return datetime.fromisoformat(str(value).strip()).date().isoformat()
        if kind == "datetime":
            return moment(value, schema.zone).replace(microsecond=0).isoformat()
    except (ValueError, TypeError, OverflowError):
        raise QueryError(f"Invalid filter: field '{name}' has invalid value") from None
    found = reader(kind, schema.zone)(value)
    if found is None and not _blank(value):
        raise QueryError(f"Invalid filter: field '{name}' has invalid value")
    return found


# --- Order and select ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """One key of an order."""

    name: str
    descending: bool


def parse_order(raw: Value, schema: Schema, *, aliases: Mapping[str, str] | None = None) -> list[Order]:
    """Reads an order parameter.

    Args:
        raw: map of field to `ASC` or `DESC`.
        schema: the method's fields.
        aliases: further spellings of names (`ID` for `id` in crm.item.list).

    Raises:
        QueryError: an unknown field or direction.
    """
    orders = []
    for written, direction in as_map(raw).items():
        name = (aliases or {}).get(written, written)
        if name not in schema.kinds:
            raise QueryError(f"Invalid order: field '{written}' is not allowed in order")
        if str(direction).upper() not in ("ASC", "DESC"):
            raise QueryError(
                f"Invalid order: allowed sort directions are `ASC, DESC`. But got '{direction}' for field '{written}'"
            )
        orders.append(Order(name, str(direction).upper() == "DESC"))
    return orders


def project(rows: list[Record], select: Value, *, always: str = "id") -> list[Record]:
    """Cuts rows to the fields asked for.

    Args:
        rows: complete rows.
        select: names or `*`; nothing means all; names that no row has are passed over.
        always: a field the portal adds whatever is asked.
    """
    wanted = [str(name) for name in as_list(select)]
    if not wanted or "*" in wanted:
        return rows
    names = list(dict.fromkeys([always, *wanted]))
    return [{name: row[name] for name in names if name in row} for row in rows]


# --- Pages --------------------------------------------------------------------------------------------------------


class Table:
    """Rows by id with the sorted list of their ids, rebuilt when rows come or go.

    Args:
        rows: the live dictionary of the state; anybody may change it between requests.
    """

    def __init__(self, rows: dict[int, Record]) -> None:
        self.rows = rows
        self._ids: list[int] = []
        self._signature: tuple[int, int | None] = (-1, None)

    def ids(self) -> list[int]:
        """All ids, ascending."""
        # A dictionary keeps insertion order: who takes one row out and puts one in changes its last key.
        signature = (len(self.rows), next(reversed(self.rows), None))
        if signature != self._signature:
            self._ids = sorted(self.rows)
            self._signature = signature
        return self._ids

    def forget(self) -> None:
        """Drops the sorted ids, for changes that neither count nor last key show."""
        self._signature = (-1, None)


@dataclass
class Page:
    """One page of a list: its rows, and what the envelope says about the others."""

    rows: list[Record]
    total: int | None
    next: int | None


def parse_start(value: Value) -> int:
    """Offset of a page, a multiple of 50; any negative number (the documented -1) means: do not count."""
    try:
        start = int(value) if value not in (None, "") else 0
    except (TypeError, ValueError):
        start = 0
    return -1 if start < 0 else start // PAGE * PAGE


def list_page(
    table: Table,
    wanted: Filter,
    order: list[Order],
    start: int,
    schema: Schema,
    hidden: frozenset[int] | set[int] = frozenset(),
) -> Page:
    """Cuts one page out of a table.

    Args:
        table: what there is.
        wanted: compiled filter.
        order: parsed order; nothing means ascending ids.
        start: offset, or -1 for "the first 50, uncounted".
        schema: the method's fields.
        hidden: ids the caller has no right to see; they are left out silently.
    """
    by_id = not order or order[0].name == schema.id_name
    descending = bool(order) and order[0].descending and by_id
    ids, count = _candidates(table, wanted, descending=descending)
    if by_id and not hidden and wanted.predicate is None:
        offset = max(start, 0)
        rows = list(islice(map(table.rows.__getitem__, ids(offset)), PAGE))
        return _page(rows, count, start)
    matching = _matching(table, wanted, ids(0), hidden)
    if by_id and start < 0:
        return Page(list(islice(matching, PAGE)), 0, None)
    found = list(matching)
    if not by_id:
        _sort(found, order, schema)
    offset = max(start, 0)
    return _page(found[offset : offset + PAGE], len(found), start)


def _page(rows: list[Record], total: int, start: int) -> Page:
    if start < 0:
        return Page(rows, 0, None)
    return Page(rows, total, start + PAGE if start + PAGE < total else None)


def _candidates(table: Table, wanted: Filter, *, descending: bool) -> tuple[Callable[[int], Iterable[int]], int]:
    ids: list[int] = table.ids()
    if wanted.ids is not None:
        known = (each for each in wanted.ids if each in table.rows and wanted.above <= each < wanted.below)
        chosen = sorted(known, reverse=descending)
        return (lambda offset: chosen[offset:]), len(chosen)
    low = bisect_left(ids, wanted.above)
    high = max(low, bisect_left(ids, wanted.below))

    def walk(offset: int) -> Iterable[int]:
        positions = range(high - 1 - offset, low - 1, -1) if descending else range(low + offset, high)
        return map(ids.__getitem__, positions)

    return walk, high - low


def _matching(table: Table, wanted: Filter, ids: Iterable[int], hidden: frozenset[int] | set[int]) -> Iterator[Record]:
    if hidden:
        ids = (each for each in ids if each not in hidden)
    rows = map(table.rows.__getitem__, ids)
    return rows if wanted.predicate is None else filter(wanted.predicate, rows)


def _sort(rows: list[Record], order: list[Order], schema: Schema) -> None:
    for each in reversed(order):
        read, key = reader(schema.kinds[each.name], schema.zone), schema.key(each.name)

        def sort_key(row: Record, read: Reader = read, key: str = key) -> tuple[bool, Any]:
            value = row.get(key)
            if value.__class__ is list:
                value = value[0] if value else None
            found = read(value)
            return found is not None, found if found is not None else 0

        rows.sort(key=sort_key, reverse=each.descending)


def select_rows(rows: list[Record], wanted: Filter, order: list[Order], schema: Schema) -> list[Record]:
    """All rows of a short list (no pages) that a filter lets pass, in order."""
    found = []
    for row in rows:
        number = _number(row.get(schema.id_name))
        in_bounds = number is None or wanted.above <= number < wanted.below
        if not in_bounds or (wanted.ids is not None and number not in wanted.ids):
            continue
        if wanted.predicate is None or wanted.predicate(row):
            found.append(row)
    _sort(found, order, schema)
    return found
