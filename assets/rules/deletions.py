"""Deletion rules: what it means that a rating is no longer in the portal's list.

Belongs here: which known ratings are missing, and when that is too many to believe. Does not belong here: asking the
portal (`sources/bitrix24.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

FEWEST_TO_DOUBT = 10
SHARE_TO_DOUBT = 0.20
FEWEST_OF_GROUP = 3
"""A workgroup that showed so many closed tasks and shows none of them any more was hidden, however small it is."""


class MassDeletionError(Exception):
    """So many ratings vanished at once that lost rights or a broken portal are likelier than deletions."""


def missing(known: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """Live ratings of the last run that the portal's list does not show now.

    Args:
        known: rows of the last snapshot; columns process_key, rating_id, is_deleted.
        fresh: rows read now; columns process_key, rating_id.

    Returns:
        The rows of `known` that are neither deleted already nor in `fresh`.
    """
    live = known[~known["is_deleted"].to_numpy(dtype=bool)]
    now = pd.MultiIndex.from_frame(fresh[["process_key", "rating_id"]])
    then = pd.MultiIndex.from_frame(live[["process_key", "rating_id"]])
    return live[~then.isin(now)]


def refuse_mass_deletion(live_before: Mapping[date, int], deleted_now: Mapping[date, int]) -> None:
    """Fails when more than 20 % (and at least 10) of a month's ratings vanished.

    Raises:
        MassDeletionError: naming months and counts.
    """
    doubtful = [
        f"{period:%Y-%m}: {count} of {live_before[period]}"
        for period, count in sorted(deleted_now.items())
        if count >= FEWEST_TO_DOUBT and count > SHARE_TO_DOUBT * live_before[period]
    ]
    if doubtful:
        raise MassDeletionError(
            f"Too many ratings vanished from the portal at once ({'; '.join(doubtful)}): check the rights of the "
            "webhook's owner; if they were really deleted, run again with --accept-deletions."
        )


def refuse_lost_tasks(known: Mapping[int, int], vanished: Mapping[int, int]) -> None:
    """Fails when too many closed tasks of a workgroup are no longer shown at all.

    Too many are more than 20 % (and at least 10) of its tasks in the months read, or all of at least 3. The portal's
    list of tasks cannot tell a deleted task from one that the webhook's owner may not see any more; rights are given
    by workgroup, so each is judged by itself.

    Args:
        known: closed tasks of the months read that were there at the last reading, by workgroup.
        vanished: of them not shown any more.

    Raises:
        MassDeletionError: naming workgroups and counts.
    """
    doubtful = [
        f"workgroup {group}: {count} of {known[group]}"
        for group, count in sorted(vanished.items())
        if (count >= FEWEST_TO_DOUBT and count > SHARE_TO_DOUBT * known[group])
        or FEWEST_OF_GROUP <= count == known[group]
    ]
    if doubtful:
        raise MassDeletionError(
            f"Too many closed tasks vanished from the portal at once ({'; '.join(doubtful)}): check that the webhook's "
            "owner still sees the tasks of these workgroups (as their member, or by a role); if they were really "
            "deleted, run again with --accept-deletions."
        )


def refuse_mass_dismissal(active_before: int, vanished: int) -> None:
    """Fails when more than 20 % (and at least 10) of the employees are no longer shown at all.

    Dismissed employees stay in the list; whoever left it altogether was hidden from the webhook's owner.

    Raises:
        MassDeletionError: with the counts.
    """
    if vanished >= FEWEST_TO_DOUBT and vanished > SHARE_TO_DOUBT * active_before:
        raise MassDeletionError(
            f"Too many employees vanished from the portal at once ({vanished} of {active_before}): check the rights of "
            "the webhook's owner and its scope user_brief; if they were really removed, run again with "
            "--accept-deletions."
        )


def refuse_lost_departments(members: int) -> None:
    """Fails when departments vanished from the list while active employees still name them.

    Bitrix24 moves the people of a deleted department to the one above; a department that only the list has lost was
    hidden, and its ratings would be nobody's from that day on.

    Args:
        members: active employees of departments that were shown before and are not now.

    Raises:
        MassDeletionError: with the count.
    """
    if members:
        raise MassDeletionError(
            f"Departments vanished from the portal while {members} active employees still belong to them: check that "
            "the webhook's owner sees the whole company structure; if they were really removed, run again with "
            "--accept-deletions."
        )
