"""What the configuration says about ratings, as assets and rules take it.

Belongs here: the bundle that the `terms` resource hands to assets. Does not belong here: reading files or the
environment (`pipelines/settings.py`), the meaning of any term (`assets/rules`).
"""

from __future__ import annotations

from dataclasses import dataclass

from assets.rules.disclosure import Profile, ProfileName
from assets.rules.policy import PolicyBook
from assets.rules.structure import ProcessTerms
from sources.contracts import Process


@dataclass(frozen=True)
class Terms:
    """Processes, policy and release rules of one portal.

    Attributes:
        processes: rated hand-overs, in the order of the configuration.
        policy: which ratings may leave, and as what.
        profile_name: release profile.
        profile: its thresholds.
        freeze_day: day of the next month on which a month is closed.
        retention_months: how many months, the current one included, the vault holds.
        count_unexplained: whether a lowered score counts even if its comment says nothing.
    """

    processes: tuple[Process, ...]
    policy: PolicyBook
    profile_name: ProfileName
    profile: Profile
    freeze_day: int
    retention_months: int = 14
    count_unexplained: bool = False

    def by_process(self) -> dict[str, ProcessTerms]:
        """What the structure rules need of each process."""
        return {
            process.key: ProcessTerms(
                is_monthly=process.cadence == "month",
                comment_required_below=process.comment_required_below,
                counted_stages=frozenset(process.counted_stages) if process.counted_stages else None,
                setter_departments=frozenset(process.setter_departments),
                executor_departments=frozenset(process.executor_departments),
            )
            for process in self.processes
        }
