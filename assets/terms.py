"""What the configuration says about ratings, as assets and rules take it.

Belongs here: the bundle that the `terms` resource hands to assets. Does not belong here: reading files or the
environment (`pipelines/settings.py`), the meaning of any term (`assets/rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from assets.rules.disclosure import Profile, ProfileName
from assets.rules.policy import PolicyBook
from assets.rules.structure import ProcessTerms
from datalens_specs.workbook import Place
from sources.contracts import AgreementProcess, DecisionProcess, Process

if TYPE_CHECKING:
    from datalens_specs.publish import Client


@dataclass(frozen=True)
class Workbook:
    """A workbook in DataLens and how its connection reaches the warehouse.

    Attributes:
        workbook_id: last part of its address.
        place: of the warehouse, with the user that this workbook's readers share.
        password: of that user; empty: the connection keeps the one it has.
        for_hr: whether it holds HR's dashboards or all others.
    """

    workbook_id: str
    place: Place
    password: str = field(repr=False)
    for_hr: bool


@dataclass(frozen=True)
class Publishing:
    """Where dashboards are published.

    Attributes:
        workbooks: the workbooks to fill.
        users_csv: who is who in DataLens.
        client: makes a client; raises if credentials are missing.
        has_credentials: whether there are any: without, runs leave DataLens alone, and people publish by hand.
        site: address before an entry's id.
    """

    workbooks: tuple[Workbook, ...]
    users_csv: Path
    client: Callable[[], Client]
    has_credentials: bool
    site: str


@dataclass(frozen=True)
class Terms:
    """Processes, policy, release rules and sources of decisions of one portal.

    Attributes:
        processes: rated hand-overs, in the order of the configuration.
        policy: which ratings may leave, and as what.
        profile_name: release profile.
        profile: its thresholds.
        freeze_day: day of the next month on which a month is closed.
        retention_months: how many months, the current one included, the vault holds.
        count_unexplained: whether a lowered score counts even if its comment says nothing.
        decisions_csv: HR's file of decisions, if that is where they stand.
        decision_process: the smart process of decisions, if that is where they stand; never both.
        decision_values: written word to the decision that it means, where the usual words do not do.
        experimental_signals: signal types to look for besides those that are always looked for.
        reviews_csv: HR's file of signals that were looked at.
        agreements_csv: the heads' file of what they agreed, if that is where they keep it.
        agreement_process: the smart process of agreements, if that is where they keep them; never both.
        agenda_link: address of the dashboard that heads are told when a month is closed; empty: nobody is told.
        datalens: where dashboards are published; None: nowhere.
    """

    processes: tuple[Process, ...]
    policy: PolicyBook
    profile_name: ProfileName
    profile: Profile
    freeze_day: int
    retention_months: int = 14
    count_unexplained: bool = False
    decisions_csv: Path | None = None
    decision_process: DecisionProcess | None = None
    decision_values: Mapping[str, str] = field(default_factory=dict)
    experimental_signals: tuple[str, ...] = ()
    reviews_csv: Path | None = None
    agreements_csv: Path | None = None
    agreement_process: AgreementProcess | None = None
    agenda_link: str = ""
    datalens: Publishing | None = None

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
