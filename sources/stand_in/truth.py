"""What the warehouse must say about the portal's ratings: an oracle, written to be read rather than to be fast.

Belongs here: the rules of the design, one rating at a time, in plain Python. Does not belong here: anything shared
with the pipeline. The oracle would prove nothing if it ran the code that it judges.

The answer is what `dwh.fct_rating` holds when the mode of every process is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sources.stand_in.state import PortalState, Record, SmartProcess

FIRST_PERIOD = date(2020, 1, 1)


@dataclass(frozen=True)
class TruthRow:
    """One rating as the warehouse must hold it; ids are 0 where the portal has none."""

    process_key: str
    rating_id: int
    period: date
    rated_on: date
    rater_id: int
    ratee_id: int
    rater_department_id: int
    ratee_department_id: int
    task_id: int
    score: int | None
    comment: str
    exclusion_code: str
    is_deleted: bool


def rating_truth(state: PortalState, config: Record | None = None) -> list[TruthRow]:
    """Judges every rating of the portal, deleted ones included.

    Args:
        state: the portal.
        config: the estafeta.yaml contents to judge by; the portal's own by default.

    Returns:
        Rows in the order of the configuration's processes, then by id.
    """
    settings = config if config is not None else state.config
    rows: list[TruthRow] = []
    for process in settings["processes"]:
        rows.extend(_ProcessTruth(state, settings, process).rows())
    return rows


class _ProcessTruth:
    """The rules applied to one process."""

    def __init__(self, state: PortalState, settings: Record, process: Record) -> None:
        self.state = state
        self.process = process
        self.fields: dict[str, str] = process["fields"]
        self.freeze_day: int = settings["release"]["freeze_day"]
        self.portal_process: SmartProcess = state.processes[process["entity_type_id"]]

    def rows(self) -> Iterator[TruthRow]:
        """Every rating of the process, judged."""
        items = [(item, False) for item in self.portal_process.items.values()]
        items += [(item, True) for item in self.portal_process.deleted.values()]
        items.sort(key=lambda pair: pair[0]["id"])
        plain = [(item, self._plain_row(item, is_deleted)) for item, is_deleted in items]
        standing = self._standing([row for _, row in plain])
        for item, row in plain:
            yield replace(row, exclusion_code=self._code(item, row, standing))

    def _plain_row(self, item: Record, is_deleted: bool) -> TruthRow:
        """The rating's own values, not judged yet."""
        rater, ratee = self._id(item, "rater"), self._id(item, "ratee")
        comment = self._value(item, "comment")
        score, _ = self._score(item)
        period, _ = self._period(item)
        return TruthRow(
            process_key=self.process["key"],
            rating_id=item["id"],
            period=period,
            rated_on=self._created(item).date(),
            rater_id=rater,
            ratee_id=ratee,
            rater_department_id=self._department(rater),
            ratee_department_id=self._department(ratee),
            task_id=self._id(item, "task"),
            score=score,
            comment="" if comment is None else str(comment),
            exclusion_code="",
            is_deleted=is_deleted,
        )

    def _code(self, item: Record, row: TruthRow, standing: dict[tuple[Any, ...], int]) -> str:
        """The first rule that the rating breaks."""
        _, score_code = self._score(item)
        _, period_fits = self._period(item)
        same = self._same(row)
        rules = [
            (score_code, score_code != ""),
            ("no_rater", row.rater_id == 0),
            ("no_ratee", row.ratee_id == 0),
            ("unknown_rater", row.rater_id not in self.state.users),
            ("unknown_ratee", row.ratee_id not in self.state.users),
            ("self_rating", row.rater_id == row.ratee_id),
            ("duplicate_rating", not row.is_deleted and same is not None and standing[same] != row.rating_id),
            ("wrong_direction", self._is_wrong_direction(row)),
            ("out_of_window", not period_fits),
            ("stage_not_counted", not self._is_stage_counted(item)),
            ("deleted", row.is_deleted),
            ("unexplained", self._is_unexplained(row)),
        ]
        return next((code for code, broken in rules if broken), "")

    # Values

    def _value(self, item: Record, role: str) -> Any:  # noqa: ANN401 - the portal's values have every type
        """The value of a role's field; None when the process has no such field."""
        return item.get(self.fields[role]) if role in self.fields else None

    def _id(self, item: Record, role: str) -> int:
        """A user's or a task's id; 0 when there is none."""
        value = self._value(item, role)
        return int(value) if value else 0

    def _created(self, item: Record) -> datetime:
        return datetime.fromisoformat(item["createdTime"]).astimezone(self.state.timezone)

    def _department(self, user: int) -> int:
        """A person belongs to the first of their departments."""
        if user not in self.state.users:
            return 0
        departments = self.state.users[user]["UF_DEPARTMENT"]
        return int(departments[0]) if departments else 0

    # Scores

    def _score(self, item: Record) -> tuple[int | None, str]:
        """The score, or what is wrong with it."""
        value = self._value(item, "score")
        kind = self.portal_process.fields[self.fields["score"]]["type"]
        if value is None or str(value).strip() == "":
            return None, "no_score"
        if kind == "integer":
            score = int(value) if str(value) in ("1", "2", "3", "4", "5") else None
        elif kind == "enumeration":
            if str(value) == "0":
                return None, "no_score"
            score = self._score_of_text(self._option_text(str(value)))
        else:
            score = self._score_of_text(str(value))
        return (score, "") if score is not None else (None, "score_range")

    def _option_text(self, option: str) -> str:
        """The text of an enumeration's option; an unknown option has none."""
        definition = self.portal_process.fields[self.fields["score"]]
        for candidate in definition["items"]:
            if candidate["ID"] == option:
                return str(candidate["VALUE"])
        return ""

    def _score_of_text(self, text: str) -> int | None:
        """The score that the configuration gives to a text, or else the only number in it."""
        text = text.strip()
        values = self.process.get("score_values") or {}
        if text in values:
            return int(values[text])
        numbers = re.findall(r"[0-9]+", text)
        if len(numbers) != 1 or int(numbers[0]) not in (1, 2, 3, 4, 5):
            return None
        return int(numbers[0])

    # Time

    def _period(self, item: Record) -> tuple[date, bool]:
        """The month that the rating belongs to, and whether it came in that month's window."""
        created = self._created(item)
        month_of_creation = created.date().replace(day=1)
        written = self._value(item, "period")
        if self.process["cadence"] == "task" or not written:
            return month_of_creation, True
        # Portals write a date as midnight of some offset: only the date as written is meant.
        period = date.fromisoformat(str(written)[:10]).replace(day=1)
        if period < FIRST_PERIOD or period > month_of_creation:
            return month_of_creation, False
        next_year, next_month = (period.year + 1, 1) if period.month == 12 else (period.year, period.month + 1)
        freeze = datetime(next_year, next_month, self.freeze_day, tzinfo=self.state.timezone)
        return period, created < freeze

    # Relations

    def _same(self, row: TruthRow) -> tuple[Any, ...] | None:
        """What two ratings share when one of them is a duplicate; None when a rating cannot have one."""
        if self.process["cadence"] == "month":
            return (row.rater_id, row.ratee_id, row.period)
        return (row.rater_id, row.ratee_id, row.task_id) if row.task_id else None

    def _standing(self, rows: list[TruthRow]) -> dict[tuple[Any, ...], int]:
        """Of the ratings of the same thing that are not deleted, the one with the lowest id."""
        standing: dict[tuple[Any, ...], int] = {}
        for row in rows:
            same = self._same(row)
            if same is not None and not row.is_deleted:
                standing[same] = min(row.rating_id, standing.get(same, row.rating_id))
        return standing

    def _is_wrong_direction(self, row: TruthRow) -> bool:
        """The ratee did the task, or the departments are swapped."""
        task = self.state.tasks.get(row.task_id)
        if task is not None and int(task["responsibleId"]) == row.ratee_id and int(task["createdBy"]) != row.ratee_id:
            return True
        setters = self.process.get("setter_departments") or []
        executors = self.process.get("executor_departments") or []
        if not setters or not executors:
            return False
        swapped = self._is_below(row.rater_department_id, setters) and self._is_below(
            row.ratee_department_id, executors
        )
        right = self._is_below(row.rater_department_id, executors) and self._is_below(row.ratee_department_id, setters)
        return swapped and not right

    def _is_below(self, department: int, tops: list[int]) -> bool:
        """Whether a department is one of those, or somewhere below one."""
        seen: set[int] = set()
        while department in self.state.departments and department not in seen:
            if department in tops:
                return True
            seen.add(department)
            department = int(self.state.departments[department].get("PARENT") or 0)
        return False

    # Stage and comment

    def _is_stage_counted(self, item: Record) -> bool:
        stage = str(item.get("stageId") or "")
        counted = self.process.get("counted_stages")
        if counted:
            return stage.split(":")[-1] in counted
        semantics = {row["STATUS_ID"]: row["SEMANTICS"] for row in self.portal_process.statuses}
        return semantics.get(stage) != "F"

    def _is_unexplained(self, row: TruthRow) -> bool:
        """A low score needs a comment with at least three letters."""
        required_below = self.process.get("comment_required_below", 5)
        letters = sum(char.isalpha() for char in row.comment)
        return row.score is not None and row.score < required_below and letters < 3
