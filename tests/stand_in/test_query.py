"""The filter engine against a slow, obvious one, and PHP-style parameters."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.stand_in import query
from sources.stand_in.state import MOSCOW

KINDS: dict[str, query.Kind] = {
    "id": "number",
    "score": "number",
    "rater": "link",
    "comment": "string",
    "updatedTime": "datetime",
    "day": "date",
    "agreed": "flag",
    "tags": "number",
}
SCHEMA = query.Schema(KINDS, MOSCOW)

MOMENTS = ["2026-03-01T10:00:00+03:00", "2026-03-01T12:00:00+03:00", "2026-03-02T00:00:00+03:00"]
ASKED = [*MOMENTS, "2026-03-01T09:00:00+00:00", "2026-03-01 12:00:00", "2026-03-02"]
DAYS = ["2026-03-01T03:00:00+03:00", "2026-03-31T03:00:00+03:00"]

ROWS = st.fixed_dictionaries(
    {
        "score": st.sampled_from([None, 0, 1, 4, 5]),
        "rater": st.sampled_from([None, 0, 2, 3]),
        "comment": st.sampled_from([None, "", "Нет исходников", "нет", "100% готово"]),
        "updatedTime": st.sampled_from(MOMENTS),
        "day": st.sampled_from([None, *DAYS]),
        "agreed": st.sampled_from([None, "Y", "N"]),
        "tags": st.lists(st.integers(0, 3), max_size=3),
    }
)
NUMBERS = st.sampled_from([0, 1, "4", 5, ""])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.one_of(st.integers(0, 12), st.just("")),
    "score": NUMBERS,
    "rater": st.sampled_from([0, 2, "3", ""]),
    "comment": st.sampled_from(["", "нет", "Нет исходников", "%готово", "100%"]),
    "updatedTime": st.sampled_from(ASKED),
    "day": st.sampled_from(["2026-03-01", "2026-03-31", *DAYS]),
    "agreed": st.sampled_from([1, 0, "1", "0", "Y", "N", "True"]),
    "tags": st.sampled_from([0, 1, "2"]),
}


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(sorted(KINDS)))
    prefixes = ["", "=", "!", "!=", ">", ">=", "<", "<=", "@", "!@"]
    if name == "comment":
        prefixes += ["%", "=%", "%=", "!%", "!=%", "!%="]
    if name == "agreed":
        prefixes = ["", "=", "!", "!="]
    prefix = draw(st.sampled_from(prefixes))
    value: Any = draw(VALUES[name])
    if prefix in ("@", "!@"):
        value = [each for each in draw(st.lists(VALUES[name], max_size=3)) if each != ""]
    return prefix + name, value


FILTERS = st.recursive(
    st.lists(conditions(), max_size=3).map(dict),
    lambda inner: st.builds(
        lambda logic, groups, plain: {
            "logic": logic,
            **{str(n): group for n, group in enumerate(groups)},
            **plain,
        },
        st.sampled_from(["AND", "OR", "or"]),
        st.lists(inner, max_size=3),
        st.lists(conditions(), max_size=2).map(dict),
    ),
    max_leaves=5,
)


def naive(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Reads a filter as the documentation words it, row by row; None = the portal passes over the condition."""
    verdicts = []
    for name, value in asked.items():
        if name == "logic":
            continue
        verdict = naive(row, value) if name.isdigit() else naive_condition(row, name, value)
        if verdict is not None:
            verdicts.append(verdict)
    if str(asked.get("logic", "AND")).upper() == "OR" and verdicts:
        return any(verdicts)
    return all(verdicts)


def comparable(name: str, value: Any) -> Any:
    if value is None or (value == "" and name != "comment"):
        return None
    if name in ("id", "score", "rater", "tags"):
        return int(value)
    if name == "updatedTime":
        read = datetime.fromisoformat(value)
        return read if read.tzinfo else read.replace(tzinfo=MOSCOW)
    if name == "day":
        return value[:10]
    if name == "agreed":
        return {"Y": 1, "1": 1, "N": 0, "0": 0}[str(value)]
    return value


def naive_condition(row: dict[str, Any], written: str, value: Any) -> bool | None:
    found = re.fullmatch(r"([!=<>@%]*)(\w+)", written)
    assert found is not None
    prefix, name = found.groups()
    held = row[name]
    negate = prefix.startswith("!")
    prefix = prefix.removeprefix("!") if negate else prefix
    if name == "agreed" and str(value) not in ("0", "1"):
        return None
    if prefix in ("", "="):
        if value == "":
            return (held in (None, "", []) or (name == "rater" and held == 0)) != negate
        prefix, value = "@", [value]
    if prefix in (">", ">=", "<", "<=") and value == "":
        return None
    hits = []
    for each in held if isinstance(held, list) else [held]:
        mine = comparable(name, each)
        if prefix == "@":
            hits.append(mine is not None and mine in [comparable(name, other) for other in value])
        elif "%" in prefix:
            pattern = value if "=" in prefix else f"%{value}%"
            regex = ".*".join(map(re.escape, pattern.split("%")))
            hits.append(each is not None and re.fullmatch(regex, each, re.IGNORECASE | re.DOTALL) is not None)
        else:
            other = comparable(name, value)
            compare = {">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b}
            hits.append(mine is not None and compare.get(prefix, lambda a, b: a <= b)(mine, other))
    return any(hits) != negate


@given(st.lists(ROWS, max_size=10), FILTERS, st.sampled_from(["ASC", "DESC"]), st.sampled_from([0, -1]))
def test_filters_agree_with_a_naive_engine(rows: list[Any], asked: dict[str, Any], way: str, start: int) -> None:
    table = query.Table({number: {"id": number, **row} for number, row in enumerate(rows, 1)})
    compiled = query.compile_filter(asked, SCHEMA)
    page = query.list_page(table, compiled, query.parse_order({"id": way}, SCHEMA), start, SCHEMA)
    expected = [row for row in table.rows.values() if naive(row, asked)]
    assert page.rows == (expected if way == "ASC" else expected[::-1])
    assert page.total == (0 if start < 0 else len(expected))


PLAIN = st.text(alphabet="abcЖ &=[]%+>_", max_size=6)
TREES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(st.sampled_from([">=updatedTime", "logic", "@id", "б"]), inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def encode(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return "".join(encode(f"{key}[{name}]", child) for name, child in value.items())
    if isinstance(value, list):
        return "".join(encode(f"{key}[{number}]", child) for number, child in enumerate(value))
    return f"{quote(key)}={quote(value)}&"


@given(st.dictionaries(st.sampled_from(["filter", "select", "start"]), TREES, max_size=3))
def test_php_keys_round_trip(params: dict[str, Any]) -> None:
    assert query.decode("".join(encode(name, value) for name, value in params.items())) == params


def test_php_keys_without_numbers_and_with_plus() -> None:
    assert query.decode("a[]=1&a[]=2&b=c+d&&filter%5B%3Eid%5D=3") == {
        "a": ["1", "2"],
        "b": "c d",
        "filter": {">id": "3"},
    }


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"nosuch": 1}, "Invalid filter: field 'nosuch' is not allowed in filter"),
        ({">ID": 1}, "Invalid filter: field 'ID' is not allowed in filter"),
        ({"><score": [1, 2]}, "Invalid filter: field '<score' is not allowed in filter"),
        ({">=updatedTime": "yesterday"}, "Invalid filter: field 'updatedTime' has invalid value"),
        ({">=updatedTime": ""}, "Invalid filter: field 'updatedTime' has invalid value"),
        ({">score": "five"}, "Invalid filter: field 'score' has invalid value"),
        ({">score": [1]}, "Invalid filter: field 'score' has invalid value"),
    ],
)
def test_refused_filters(asked: dict[str, Any], text: str) -> None:
    with pytest.raises(query.QueryError) as caught:
        query.compile_filter(asked, SCHEMA)
    assert str(caught.value) == text


def test_refused_orders() -> None:
    with pytest.raises(query.QueryError, match="field 'nosuch' is not allowed in order"):
        query.parse_order({"nosuch": "ASC"}, SCHEMA)
    with pytest.raises(query.QueryError, match="But got 'V' for field 'id'"):
        query.parse_order({"id": "V"}, SCHEMA)


def test_other_orders_break_ties_by_ascending_id_and_put_empty_values_first() -> None:
    scores = [3, None, 1, 3, 0]
    table = query.Table({number: {"id": number, "score": score} for number, score in enumerate(scores, 1)})

    def ids(way: str) -> list[int]:
        order = query.parse_order({"score": way}, SCHEMA)
        return [row["id"] for row in query.list_page(table, query.Filter(), order, 0, SCHEMA).rows]

    assert ids("ASC") == [2, 5, 3, 1, 4]
    assert ids("DESC") == [1, 4, 3, 5, 2]


def test_a_table_notices_that_rows_came_and_went() -> None:
    rows = {number: {"id": number} for number in range(1, 4)}
    table = query.Table(rows)
    assert table.ids() == [1, 2, 3]
    del rows[2]
    rows[9] = {"id": 9}
    assert table.ids() == [1, 3, 9]


def test_empty_maps_and_numbered_maps_become_lists() -> None:
    assert query.php_map({}) == []
    assert query.php_map({"0": "a", "1": "b"}) == ["a", "b"]
    assert query.php_map({"1": "a"}) == {"1": "a"}


@pytest.mark.parametrize(
    ("written", "read"), [(None, 0), ("", 0), ("x", 0), ("100", 100), (60, 50), (-1, -1), ("-5", -1)]
)
def test_start(written: Any, read: int) -> None:
    assert query.parse_start(written) == read


def test_stored_values_of_a_wrong_kind_compare_with_nothing() -> None:
    table = query.Table({1: {"id": 1, "score": "пять", "updatedTime": "вчера"}, 2: {"id": 2, "score": "4.5"}})

    def found(asked: dict[str, Any]) -> list[int]:
        wanted = query.compile_filter(asked, SCHEMA)
        return [row["id"] for row in query.list_page(table, wanted, [], 0, SCHEMA).rows]

    assert found({">score": 0}) == [2]
    assert found({"!score": 4}) == [1, 2]
    assert found({">updatedTime": "2020-01-01"}) == []
    assert found({">id": 1.5, "<=id": 2.5}) == [2]
