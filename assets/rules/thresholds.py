"""Thresholds of hidden scope that count people rather than rows.

Belongs here: the one test that every published cut shares. Does not belong here: which cut has which threshold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

SEEN_BY_HR = "named_to_hr"
"""The hidden mode whose ratings HR reads by name."""


def shielded(rows: pd.DataFrame, keys: list[str], people: str, least: int) -> pd.Series[bool]:
    """Tells which groups hold enough distinct people, for heads and for HR.

    HR reads the rows of mode named_to_hr, so it can take them away from any number: what is left must be enough
    people too, or nobody.

    Args:
        rows: hidden ratings with a column mode, the keys and the people.
        keys: columns that make a group.
        people: column whose distinct values count.
        least: how many are enough.

    Returns:
        One value per group, indexed by the keys.
    """
    groups = rows.groupby(keys)
    number = np.asarray(groups.ngroup(), dtype="int64")
    names = groups.size().index
    # Distinct pairs counted as numbers: as a groupby it is the slowest step of a release.
    people_of = np.column_stack([number, pd.factorize(rows[people])[0]])
    unseen = rows["mode"].ne(SEEN_BY_HR).to_numpy(dtype=bool)
    everybody = np.bincount(np.unique(people_of, axis=0)[:, 0], minlength=len(names))
    rest = np.bincount(np.unique(people_of[unseen], axis=0)[:, 0], minlength=len(names))
    return pd.Series((everybody >= least) & ((rest == 0) | (rest >= least)), index=names)
