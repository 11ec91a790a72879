"""What the words of an agreement mean: which departments, which process, which reason.

Belongs here: matching written names with known ones. Does not belong here: reading the file (`sources/agreements.py`),
what became of an agreement (`mart/agreement.sql`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def key_of(text: str) -> str:
    """A name without regard to case, ё and spaces around it."""
    return text.strip().casefold().replace("ё", "е")


def resolve(
    written: pd.DataFrame,
    departments: Mapping[int, str],
    processes: Mapping[str, str],
    reasons: Mapping[str, str],
) -> tuple[pd.DataFrame, list[int]]:
    """Finds departments (by number or name), processes and reasons (by key or title).

    A name that two departments have means neither: an agreement must not land on somebody else's agenda.

    Args:
        written: one row per agreement; columns `number, process, rater_department, ratee_department, reason` among
            others, as written.
        departments: id to name.
        processes: key to title.
        reasons: code to title.

    Returns:
        Rows whose departments and process are known, with `process_key, rater_department_id, ratee_department_id,
        reason_code` instead of what was written (a reason that is not known is empty), and the numbers of the others.
    """
    department_of = _unambiguous({str(number): name for number, name in departments.items()})
    process_of, reason_of = _unambiguous(processes), _unambiguous(reasons)
    found = written.assign(
        process_key=written["process"].map(key_of).map(process_of),
        rater_department_id=written["rater_department"].map(key_of).map(department_of),
        ratee_department_id=written["ratee_department"].map(key_of).map(department_of),
        reason_code=written["reason"].map(key_of).map(reason_of).fillna(""),
    ).drop(columns=["process", "rater_department", "ratee_department", "reason"])
    known = found[["process_key", "rater_department_id", "ratee_department_id"]].notna().all(axis=1)
    lost: list[int] = found.loc[~known, "number"].astype(int).tolist()
    whole = {"rater_department_id": "int64", "ratee_department_id": "int64"}
    return found[known].astype(whole).reset_index(drop=True), lost


def _unambiguous(titles: Mapping[str, str]) -> dict[str, str]:
    """Written word to code: the code itself, or its title if no other has the same."""
    words = pd.Series({code: key_of(title) for code, title in titles.items()}, dtype="object")
    once = words[~words.duplicated(keep=False)]
    by_title = {title: str(code) for code, title in once.items()}
    return by_title | {key_of(code): code for code in titles}
