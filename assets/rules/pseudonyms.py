"""Rows of mode pseudonymous: whose scores stand in them is told by no name, and not by counting either.

Belongs here: the pseudonym, which cells have rows, how many rows of each rater, what an analyst can derive from them.
Does not belong here: where keys are kept (`sources/vault.py`), which months are closed (`assets/`).

A pseudonym holds for one rater department and one period, so rows of one rater in several cells of a department show
that they belong together. Whoever knows everybody's tasks knows everybody's numbers of ratings: a number, or a
combination of numbers over cells, that few raters have is as good as a name. So what counts is how many raters of the
department have the same numbers of published rows in the same cells.

What is published or held back depends on who rated whom how often, never on a score: so an absent row tells nothing.
"""

from __future__ import annotations

import hmac
from collections import Counter
from datetime import date

import pandas as pd

from assets.rules.structure import freeze_date

MODE = "pseudonymous"
CELL_RATERS, CELL_RATEES = 10, 2
ALIKE = 4
"""So many raters, k of the default profile, must share their numbers of rows, or their rows stay out."""
LEFT_OUT = 0.1
"""Largest part of a cell's raters that may be left out for having numbers of their own."""
KEY_MONTHS = 3
PSEUDONYM_BYTES = 16

ROW_COLUMNS = ("process_key", "period", "rater_department_id", "ratee_department_id", "pseudonym", "score")
SUM_COLUMNS = ("process_key", "period", "rater_department_id", "ratee_department_id", "low", "high")

_CELL = ["process_key", "period", "rater_department_id", "ratee_department_id"]
_LEAST, _MOST = 1.0, 5.0

_Place = tuple[str, int]
"""Process and ratee department of a cell."""
_Numbers = dict[str, tuple[tuple[str, int, int], ...]]
"""By pseudonym: process, ratee department and number of rows of each of its cells, sorted."""


def digest(key: bytes, *fields: int | str) -> bytes:
    """HMAC-SHA-256 over fields that cannot run into one another ("1", "12" and "11", "2" differ).

    Args:
        key: random bytes.
        fields: each is written as its kind, its length in 4 bytes and itself.

    Returns:
        32 bytes.
    """
    message = bytearray()
    for field in fields:
        content = str(field).encode()
        message += (b"i" if isinstance(field, int) else b"s") + len(content).to_bytes(4, "big") + content
    return hmac.digest(key, bytes(message), "sha256")


def pseudonym(key: bytes, rater_department_id: int, rater_id: int) -> str:
    """Stands for a rater in the rows of one department and period.

    Args:
        key: the period's 32 random bytes.
        rater_department_id: the department he rates from.
        rater_id: the rater.

    Returns:
        32 hexadecimal digits.
    """
    return digest(key, "rater", rater_department_id, rater_id)[:PSEUDONYM_BYTES].hex()


def key_expires(period: date, freeze_day: int) -> date:
    """The day from which a period's key must be gone: three months after the period was frozen.

    Args:
        period: first day of the month.
        freeze_day: day of the next month on which a month is closed.
    """
    months = period.year * 12 + period.month - 1 + KEY_MONTHS
    return freeze_date(date(months // 12, months % 12 + 1, 1), freeze_day)


def pseudonymous_rows(
    units: pd.DataFrame, month: date, key: bytes, earlier: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Rows of mode pseudonymous of one month: department pairs with at least 10 raters and 2 ratees.

    Of every rater of a cell at most so many rows are published that few raters stand out: the largest cap is taken
    with which all but 10 % of a cell's raters share their numbers of rows, in all cells of their department, with at
    least 3 others. These few are left out. If no cap does, the cell with the fewest raters is held back, and so on.
    In one cell alone cap 1 always holds: everybody has exactly one row, and at least 9 others have too.

    Ratings of people who read the dashboards of the rated department stay out: they know them.

    Args:
        units: hidden counted ratings (columns process_key, rating_id, period, ratee_id, rater_id,
            rater_department_id, ratee_department_id, score, mode, is_viewer); of one process, or of several.
        month: first day of the month, which is frozen.
        key: its 32 random bytes.
        earlier: rows published before of the same month, of other processes: pseudonyms tie them to the new ones.

    Returns:
        `ROW_COLUMNS`, in keyed order.
    """
    own = units[
        units["mode"].eq(MODE)
        & units["period"].isin([month])
        & units["rater_department_id"].ne(0)
        & units["ratee_department_id"].ne(0)
        & ~units["is_viewer"].astype(bool)
    ]
    names = {
        pair: pseudonym(key, int(pair[0]), int(pair[1]))
        for pair in set(zip(own["rater_department_id"], own["rater_id"], strict=True))
    }
    pairs = zip(own["rater_department_id"], own["rater_id"], strict=True)
    ratings = zip(own["process_key"], own["rating_id"], strict=True)
    own = own.assign(
        pseudonym=pd.Series([names[pair] for pair in pairs], index=own.index, dtype="str"),
        order=pd.Series(
            [digest(key, "row", str(process), int(rating)).hex() for process, rating in ratings],
            index=own.index,
            dtype="str",
        ),
    ).sort_values("order")
    own = own.assign(place=own.groupby([*_CELL, "rater_id"]).cumcount())
    before = pd.DataFrame(columns=list(ROW_COLUMNS)) if earlier is None else earlier
    kept = [own.iloc[:0]]
    for department, rows in own.groupby("rater_department_id"):
        shown = _numbers(before[before["rater_department_id"].eq(department) & before["period"].isin([month])])
        kept.append(_of_department(rows, shown))
    return pd.concat(kept).sort_values("order")[list(ROW_COLUMNS)].reset_index(drop=True)


def cell_sums(rows: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """What published rows say of their cells' means: the scores in them are known, the others are from 1 to 5.

    Args:
        rows: `ROW_COLUMNS`.
        units: the ratings they were chosen from, as they are now (columns as for `pseudonymous_rows`).

    Returns:
        `SUM_COLUMNS`, one row per published cell: the interval of the mean over all its pseudonymous ratings, each
        weighing the same; it may reach beyond 1 and 5.
    """
    known = rows.groupby(_CELL)["score"].agg(["sum", "size"])
    number = units[units["mode"].eq(MODE)].groupby(_CELL).size().rename("number")
    cells = known.join(number, how="inner")
    unseen = (cells["number"] - cells["size"]).clip(lower=0)
    # Deleted since, or of a stricter mode: their rows are known still, but not which they are.
    gone = (cells["size"] - cells["number"]).clip(lower=0)
    sums = cells.assign(
        low=(cells["sum"] + _LEAST * unseen - _MOST * gone) / cells["number"],
        high=(cells["sum"] + _MOST * unseen - _LEAST * gone) / cells["number"],
    )
    return sums.reset_index()[list(SUM_COLUMNS)]


def _of_department(rows: pd.DataFrame, shown: _Numbers) -> pd.DataFrame:
    """What may be published of one rater department's rows."""
    place = ["process_key", "ratee_department_id"]
    cells = rows.groupby(place)[["rater_id", "ratee_id"]].nunique()
    cells = cells[(cells["rater_id"] >= CELL_RATERS) & (cells["ratee_id"] >= CELL_RATEES)]
    # The stable sort breaks ties by key, so that a repeated run holds back the same cell.
    kept = list(cells.sort_values("rater_id", ascending=False, kind="stable").index)
    ratees: dict[str, dict[_Place, list[int]]] = {}
    for name, process, department, ratee in rows[["pseudonym", *place, "ratee_id"]].itertuples(index=False, name=None):
        ratees.setdefault(name, {}).setdefault((process, department), []).append(ratee)
    while kept:
        given = {name: {cell: own[cell] for cell in kept if cell in own} for name, own in ratees.items()}
        given = {name: own for name, own in given.items() if own}
        # A cap between two numbers that raters have tells them apart no less than the greater of these.
        for cap in sorted({len(each) for own in given.values() for each in own.values()}, reverse=True):
            staying = _alike(given, cap, shown)
            if staying:
                in_cells = pd.MultiIndex.from_frame(rows[place]).isin(kept)
                return rows[in_cells & rows["pseudonym"].isin(staying) & rows["place"].lt(cap)]
        kept.pop()
    return rows.iloc[:0]


def _alike(given: dict[str, dict[_Place, list[int]]], cap: int, shown: _Numbers) -> list[str]:
    """Who may show rows under a cap; nobody if that leaves a cell too few, or makes others stand out.

    Args:
        given: by pseudonym and cell, the ratees of its ratings.
        cap: most rows of a pseudonym in a cell.
        shown: rows that are published already.
    """
    numbers = {
        name: (*shown.get(name, ()), *((*cell, min(len(each), cap)) for cell, each in sorted(own.items())))
        for name, own in given.items()
    }
    alike = Counter(numbers.values())
    staying = [name for name, cells in numbers.items() if alike[cells] >= ALIKE]
    # Whoever is left out, or has no new row, shows his earlier rows: the fewer stay like him, the more he stands out.
    visible = Counter({**shown, **{name: numbers[name] for name in staying}}.values())
    if min(visible.values(), default=ALIKE) < ALIKE:
        return []
    people = Counter(cell for own in given.values() for cell in own)
    stay = Counter(cell for name in staying for cell in given[name])
    for cell, number in people.items():
        rated = {ratee for name in staying for ratee in given[name].get(cell, ())}
        if stay[cell] < CELL_RATERS or len(rated) < CELL_RATEES or number - stay[cell] > LEFT_OUT * number:
            return []
    return staying


def _numbers(rows: pd.DataFrame) -> _Numbers:
    found: dict[str, list[tuple[str, int, int]]] = {}
    counts = rows.groupby(["pseudonym", "process_key", "ratee_department_id"]).size().reset_index(name="rows")
    for name, process, department, count in counts.itertuples(index=False, name=None):
        found.setdefault(name, []).append((process, int(department), int(count)))
    return {name: tuple(cells) for name, cells in found.items()}
