"""What the portal promises, and how its fields become the columns of a rating.

Belongs here: pydantic models of portal records, the field map of a process, reading a score out of an integer,
an enumeration or a text. Does not belong here: HTTP (`bitrix24.py`), what a wrong rating means
(`assets/rules/structure.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import unescape
from typing import Annotated, Any, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

SCORE_FROM, SCORE_TO = 1, 5

NO_SCORE = "no_score"
SCORE_RANGE = "score_range"

RATING_COLUMNS = pa.schema(
    [
        pa.field("process_key", pa.string(), nullable=False),
        pa.field("rating_id", pa.int64(), nullable=False),
        pa.field("period", pa.date32(), nullable=False),
        pa.field("created_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("updated_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("rated_on", pa.date32(), nullable=False),
        pa.field("is_period_invalid", pa.bool_(), nullable=False),
        pa.field("stage_id", pa.string(), nullable=False),
        pa.field("is_failure_stage", pa.bool_(), nullable=False),
        pa.field("score", pa.uint8()),
        pa.field("score_problem", pa.string(), nullable=False),
        pa.field("comment", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("rater_id", pa.int64(), nullable=False),
        pa.field("ratee_id", pa.int64(), nullable=False),
        pa.field("task_id", pa.int64(), nullable=False),
        pa.field("task_setter_id", pa.int64(), nullable=False),
        pa.field("task_executor_id", pa.int64(), nullable=False),
        pa.field("task_title", pa.string(), nullable=False),
        pa.field("is_deleted", pa.bool_(), nullable=False),
    ]
)
"""The vault dataset `raw`: one row per rating element; ids are 0, and a title is empty, where the portal gives none."""


TASK_COLUMNS = pa.schema(
    [
        pa.field("task_id", pa.int64(), nullable=False),
        pa.field("group_id", pa.int64(), nullable=False),
        pa.field("setter_id", pa.int64(), nullable=False),
        pa.field("executor_id", pa.int64(), nullable=False),
        pa.field("period", pa.date32(), nullable=False),
        pa.field("closed_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("closed_on", pa.date32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("is_deleted", pa.bool_(), nullable=False),
    ]
)
"""The vault dataset `task`: one row per executor of a closed task, accomplices included; `period` is the month and
`closed_on` the day of closing in portal time."""


class ContractBrokenError(Exception):
    """The portal answered, but not in the shape it promises."""


class Frozen(BaseModel):
    """Base of configuration models: immutable, and an unknown key is an error that names the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldMap(Frozen):
    """REST names of the smart process fields that carry a rating, as `crm.item.fields` returns them."""

    score: str
    comment: str
    rater: str
    ratee: str
    task: str | None = None
    period: str | None = None
    reason: str | None = None

    def names(self) -> dict[str, str]:
        """Mapped fields only: role to REST name."""
        return {role: name for role, name in self.model_dump().items() if name is not None}


class TaskGroup(Frozen):
    """Which tasks a process is expected to be rated for.

    Attributes:
        group_id: workgroup that the tasks belong to.
        min_tasks: cadence month only: a pair with fewer closed tasks in a month need not rate.
    """

    group_id: Annotated[int, Field(ge=1)]
    min_tasks: Annotated[int, Field(ge=1)] = 1


class Process(Frozen):
    """One rated hand-over between two functions: one Bitrix24 smart process."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    title: str
    entity_type_id: int
    cadence: Literal["task", "month"]
    fields: FieldMap
    score_values: dict[str, Annotated[int, Field(ge=SCORE_FROM, le=SCORE_TO)]] = {}
    counted_stages: tuple[str, ...] | None = None
    comment_required_below: Annotated[int, Field(ge=SCORE_FROM, le=SCORE_TO + 1)] = SCORE_TO
    setter_departments: tuple[int, ...] = ()
    executor_departments: tuple[int, ...] = ()
    tasks: TaskGroup | None = None

    @model_validator(mode="after")
    def _month_needs_a_period(self) -> Process:
        if self.cadence == "month" and self.fields.period is None:
            raise ValueError(f"process {self.key}: cadence month needs fields.period; map a date field")
        return self

    @model_validator(mode="after")
    def _only_months_have_a_minimum(self) -> Process:
        if self.cadence == "task" and self.tasks is not None and self.tasks.min_tasks != 1:
            raise ValueError(
                f"process {self.key}: tasks.min_tasks is for cadence month; with cadence task every task is rated"
            )
        return self


Outcome = Literal["accepted", "rejected", "deferred"]
"""What people make of a recommendation."""


class DecisionFields(Frozen):
    """REST names of the smart process fields that carry a decision on a recommendation."""

    ratee: str
    period: str
    decision: str
    reason: str
    decided_by: str | None = None

    def names(self) -> dict[str, str]:
        """Mapped fields only: role to REST name."""
        return {role: name for role, name in self.model_dump().items() if name is not None}


class DecisionProcess(Frozen):
    """The smart process in which people decide on recommendations.

    Attributes:
        key: stands for it in messages, where rated processes have their own keys.
        decision_values: what stands in the decision field, to what it means, where the usual words do not.
    """

    key: Literal["decisions"] = "decisions"
    entity_type_id: Annotated[int, Field(ge=1)]
    fields: DecisionFields
    decision_values: dict[str, Outcome] = {}


class AgreementFields(Frozen):
    """REST names of the smart process fields that carry what two heads agreed.

    Attributes:
        process: which rated process it is about, by key or title.
        rater_department: who executes; a department, or its number or name.
        ratee_department: who sets the tasks; likewise.
        text: what was agreed.
        agreed_on: the day; without it, the day on which the element was made.
        reason: which reason of lowered scores it is about.
        owner: who sees to it.
        due: until when.
        done: whether it is done.
    """

    process: str
    rater_department: str
    ratee_department: str
    text: str
    agreed_on: str | None = None
    reason: str | None = None
    owner: str | None = None
    due: str | None = None
    done: str | None = None

    def names(self) -> dict[str, str]:
        """Mapped fields only: role to REST name."""
        return {role: name for role, name in self.model_dump().items() if name is not None}


class AgreementProcess(Frozen):
    """The smart process in which heads keep what they agreed.

    Attributes:
        key: stands for it in messages, where rated processes have their own keys.
    """

    key: Literal["agreements"] = "agreements"
    entity_type_id: Annotated[int, Field(ge=1)]
    fields: AgreementFields


class Fields(Protocol):
    """A field map."""

    def names(self) -> dict[str, str]:
        """Role to REST name."""
        ...


class Mapped(Protocol):
    """A smart process with the fields that are read of it."""

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def entity_type_id(self) -> int:
        """Its number in the portal."""
        ...

    @property
    def fields(self) -> Fields:
        """Its field map."""
        ...


def _number(value: object) -> int:
    """Portal ids come as 7, "7", 0, "", null, false: 0 stands for none."""
    if value is None or value is False or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected an id")
    return int(value)


def _flag(value: object) -> bool:
    """Flags come as true, "Y", "1" or 1, depending on the method and the portal's version."""
    written = str(value).upper()
    if written not in _FLAGS:
        raise ValueError("expected a flag")
    return _FLAGS[written]


_FLAGS = {"TRUE": True, "Y": True, "1": True, "FALSE": False, "N": False, "0": False}


def _text(value: object) -> str:
    """A text as people wrote it; null and absent are an empty text. Lone surrogates cannot be stored as UTF-8."""
    if value is None or isinstance(value, list | dict):
        return ""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _first_or_empty(value: object) -> object:
    """PHP writes an absent list as null or false, and one with gaps in its numbering as a map."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


Model = TypeVar("Model", bound=BaseModel)

PortalId = Annotated[int, BeforeValidator(_number)]


class User(BaseModel):
    """A row of `user.get`; keys the portal leaves out stay at their defaults."""

    id: PortalId = Field(alias="ID", ge=1)
    is_active: Annotated[bool, BeforeValidator(_flag)] = Field(alias="ACTIVE", default=True)
    first_name: str | None = Field(alias="NAME", default=None)
    last_name: str | None = Field(alias="LAST_NAME", default=None)
    second_name: str | None = Field(alias="SECOND_NAME", default=None)
    position: str | None = Field(alias="WORK_POSITION", default=None)
    departments: Annotated[list[int], BeforeValidator(_first_or_empty)] = Field(alias="UF_DEPARTMENT", default=[])

    @property
    def full_name(self) -> str:
        """Surname, name, patronymic: as far as they are filled."""
        parts = (self.last_name, self.first_name, self.second_name)
        return " ".join(part.strip() for part in parts if part and part.strip())


class Profile(BaseModel):
    """The answer of `profile`: whose webhook it is."""

    id: PortalId = Field(alias="ID", ge=1)
    is_admin: Annotated[bool, BeforeValidator(_flag)] = Field(alias="ADMIN", default=False)


class Department(BaseModel):
    """A row of `department.get`; the root has no PARENT."""

    id: PortalId = Field(alias="ID", ge=1)
    name: str = Field(alias="NAME")
    parent_id: PortalId = Field(alias="PARENT", default=0)
    head_employee_id: PortalId = Field(alias="UF_HEAD", default=0)


class Task(BaseModel):
    """A row of `tasks.task.list`: every scalar a string, names in camelCase."""

    id: PortalId = Field(ge=1)
    setter_id: PortalId = Field(alias="createdBy", default=0)
    executor_id: PortalId = Field(alias="responsibleId", default=0)
    title: Annotated[str, BeforeValidator(_text)] = ""


COMPLETED = 5
"""The status of a task that is done and, where that was asked for, accepted."""


class GroupTask(Task):
    """A row of `tasks.task.list` with what tells whether, when and by whom the task was done."""

    group_id: PortalId = Field(alias="groupId", default=0)
    status: PortalId = 0
    closed_at: datetime | None = Field(alias="closedDate", default=None)
    accomplices: Annotated[list[PortalId], BeforeValidator(_first_or_empty)] = []

    @field_validator("closed_at", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        return _moment(value) or None

    @field_validator("closed_at")
    @classmethod
    def _with_offset(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("expected an offset")
        return value

    @property
    def executors(self) -> list[int]:
        """Who did it: the responsible person, then the accomplices, each once."""
        return [person for person in dict.fromkeys([self.executor_id, *self.accomplices]) if person]


def tasks_table(tasks: Sequence[GroupTask], zone: ZoneInfo) -> pa.Table:
    """Turns those of the tasks that are completed into the columns of `TASK_COLUMNS`.

    Args:
        tasks: in the order in which rows are wanted.
        zone: the portal's time zone; days and periods are its own.

    Returns:
        One row per executor, `is_deleted` false; a task closed before 2020 has none, and nor has one without executor.
    """
    rows = [
        (task.id, task.group_id, task.setter_id, person, day.replace(day=1), task.closed_at, day, task.title, False)
        for task in tasks
        if task.status == COMPLETED and task.closed_at is not None
        for day in [task.closed_at.astimezone(zone).date()]
        if day >= FIRST_PERIOD
        for person in task.executors
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(TASK_COLUMNS)
    return pa.table(
        {field.name: pa.array(values, field.type) for field, values in zip(TASK_COLUMNS, columns, strict=True)},
        schema=TASK_COLUMNS,
    )


class EnumerationItem(BaseModel):
    """An option of an enumeration field: its ID is a string while items hold it as an integer."""

    id: PortalId = Field(alias="ID")
    value: str = Field(alias="VALUE")


class FieldDefinition(BaseModel):
    """An entry of `crm.item.fields`."""

    type: str
    title: str = ""
    upper_name: str = Field(alias="upperName", default="")
    options: Annotated[list[EnumerationItem], BeforeValidator(_first_or_empty)] = Field(alias="items", default=[])

    def option_texts(self) -> dict[int, str]:
        """Option id to text, HTML entities resolved."""
        return {option.id: unescape(option.value).strip() for option in self.options}


class Status(BaseModel):
    """A row of `crm.status.list`: a stage of a funnel."""

    status_id: str = Field(alias="STATUS_ID")
    semantics: str | None = Field(alias="SEMANTICS", default=None)


def parse_records(model: type[Model], records: object, method: str) -> list[Model]:
    """Reads portal records into models.

    Args:
        model: what each record promises to be.
        records: the `result` part that should be a list.
        method: REST method, for the message.

    Raises:
        ContractBrokenError: naming method and field, never a value (values are personal data).
    """
    if not isinstance(records, list):
        raise ContractBrokenError(f"{method} returned {type(records).__name__} where a list was promised")
    try:
        return [model.model_validate(record) for record in records]
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "record"
        kind = error.errors()[0]["type"]
    raise ContractBrokenError(f"{method} returned a record whose {where} breaks the contract ({kind})")


_NUMBER = re.compile(r"(?:(?<!\S)[-\u2212])?\d+(?:[.,]\d+)?")


def read_score(value: object, definition: FieldDefinition, score_values: Mapping[str, int]) -> tuple[int | None, str]:
    """Reads one score as the portal stores it.

    A text counts when it holds exactly one integer 1..5 and no other number ("5 - отлично"); "4/5" and "4,5" do
    not. `score_values` wins over the text.

    Args:
        value: what the item holds: an option id, a number or a text.
        definition: the field's entry of `crm.item.fields`.
        score_values: exact texts mapped to a score by the configuration.

    Returns:
        (score, "") or (None, "no_score" | "score_range").
    """
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else (None if not value else "ambiguous")
    if value is None or value is False or (isinstance(value, str) and not value.strip()):
        return None, NO_SCORE
    if definition.type == "enumeration":
        if str(value) == "0":
            return None, NO_SCORE
        text = definition.option_texts().get(int(value)) if str(value).isdecimal() else None  # type: ignore[call-overload]
        return _score_of_text(text, score_values) if text is not None else (None, SCORE_RANGE)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _in_range(value)
    return _score_of_text(str(value), score_values)


def _score_of_text(text: str, score_values: Mapping[str, int]) -> tuple[int | None, str]:
    text = text.strip()
    if text in score_values:
        return score_values[text], ""
    numbers = _NUMBER.findall(text)
    if len(numbers) != 1 or not numbers[0].isdecimal():
        return None, SCORE_RANGE
    return _in_range(int(numbers[0]))


def _in_range(number: float) -> tuple[int | None, str]:
    # The range first: infinity and NaN are no integers and cannot be asked.
    if SCORE_FROM <= number <= SCORE_TO and number == int(number):
        return int(number), ""
    return None, SCORE_RANGE


MOST_PERSON_ID = 2**32
"""Ids of people are 32 bits wide in the warehouse; a wider one would turn into somebody else's."""

FIRST_PERIOD = date(2020, 1, 1)
"""No rating is older: partitions start here."""


def written(value: object, options: Mapping[int, str]) -> str:
    """What a field holds, as text; of a list of options the chosen ones."""
    chosen = value if isinstance(value, list) else [value]
    texts = ["" if each is None or each is False else str(each).strip() for each in chosen]
    if options:
        texts = [options.get(int(text), "") if text.isdecimal() else "" for text in texts]
    return "\n".join(text for text in texts if text).encode("utf-8", "replace").decode("utf-8")


def number_and_time(process: Mapped, item: Mapping[str, Any]) -> tuple[int, datetime]:
    """Id of an element and when it was made.

    Raises:
        ContractBrokenError: the portal did not return them.
    """
    try:
        number, made = int(item["id"]), datetime.fromisoformat(item["createdTime"])
    except (KeyError, TypeError, ValueError):
        number, made = 0, None
    if made is None or made.tzinfo is None:
        raise ContractBrokenError(
            f"crm.item.list broke its contract: an element of process {process.key} has no id or no time of "
            "creation that can be read"
        )
    return number, made


def mapped_values(
    process: Mapped, wanted: Mapping[str, str], items: Sequence[Mapping[str, Any]], upper_names: Mapping[str, str]
) -> dict[str, list[Any]]:
    """What elements hold in the mapped fields; some portals return these under their original upper case names.

    Args:
        process: whose elements they are.
        wanted: role to the name that `crm.item.fields` gives.
        items: records of `crm.item.list`.
        upper_names: name to the original one, as far as it is known.

    Returns:
        Role to one value per element.

    Raises:
        ContractBrokenError: a field does not come back under any name, or under more than one: read as empty, it
            would turn all ratings into ratings without a score.
    """
    values: dict[str, list[Any]] = {}
    for role, name in wanted.items():
        keys = list(items[0]) if items and isinstance(items[0], Mapping) else [name]
        alike = [key for key in keys if key in (name, upper_names.get(name))]
        alike = alike or [key for key in keys if _bare(key) == _bare(name)]
        key = name if name in alike else alike[0] if len(alike) == 1 else None
        if key is None or not all(isinstance(item, Mapping) and key in item for item in items):
            raise ContractBrokenError(
                f"crm.item.list returned an element of process {process.key} without the field {name}: check "
                f"fields.{role} in the configuration, and the name that crm.item.fields gives it"
            )
        values[role] = [item[key] for item in items]
    return values


def _bare(name: str) -> str:
    return name.replace("_", "").casefold()


STUB_COLUMNS = pa.schema([RATING_COLUMNS.field(name) for name in ("rating_id", "period", "updated_at")])
"""What is enough of an element to see whether, and in which month, it changed."""


@dataclass(frozen=True)
class _Dated:
    """Ids, times and months of elements, one entry per element.

    Attributes:
        created: createdTime in UTC.
        updated: updatedTime in UTC.
        rated_on: day of creation in the portal's zone.
        period: first day of the month that the element belongs to.
        is_invalid: whether it names a month that cannot be.
    """

    identifiers: npt.NDArray[np.int64]
    created: pd.Series[pd.Timestamp]
    updated: pd.Series[pd.Timestamp]
    rated_on: pd.Series[pd.Timestamp]
    period: pd.Series[pd.Timestamp]
    is_invalid: npt.NDArray[np.bool_]


def _dated(process: Process, items: Sequence[Mapping[str, Any]], named_dates: list[Any], zone: ZoneInfo) -> _Dated:
    """Reads ids and times, and puts each element into its month.

    Args:
        process: whose elements they are.
        items: records of `crm.item.list`.
        named_dates: what each names as its month; only looked at for cadence month.
        zone: the portal's time zone.

    Raises:
        ContractBrokenError: an element lacks id, createdTime or updatedTime, or one of them cannot be read.
    """
    problem = None
    try:
        created = pd.to_datetime(
            pd.Series([_moment(item["createdTime"]) for item in items], dtype=object), utc=True, format="ISO8601"
        )
        updated = pd.to_datetime(
            pd.Series([_moment(item["updatedTime"]) for item in items], dtype=object), utc=True, format="ISO8601"
        )
        identifiers = np.array([int(item["id"]) for item in items], dtype=np.int64)
        if created.isna().any() or updated.isna().any():
            problem = f"an element of process {process.key} came without createdTime or updatedTime"
    except KeyError as error:
        problem = f"an element of process {process.key} came without {error.args[0]}"
    except (TypeError, ValueError, OverflowError):
        problem = f"an element of process {process.key} has an id or a time that cannot be read"
    if problem:
        raise ContractBrokenError(f"crm.item.list broke its contract: {problem}")

    rated_on = created.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    month_of_creation = rated_on.dt.to_period("M").dt.start_time
    period, is_invalid = month_of_creation, np.zeros(len(items), dtype=bool)
    if process.cadence == "month":
        named = pd.to_datetime(
            # The date part as written: the midnight of a date field comes in an odd offset.
            pd.Series([str(date or "")[:10] for date in named_dates], dtype=object),
            format="%Y-%m-%d",
            errors="coerce",
        )
        named_month = named.dt.to_period("M").dt.start_time
        is_invalid = (
            named.notna() & ((named < pd.Timestamp(FIRST_PERIOD)) | (named_month > month_of_creation))
        ).to_numpy()
        period = named_month.where(named.notna() & ~is_invalid, month_of_creation)
    return _Dated(identifiers, created, updated, rated_on, period, is_invalid)


def stubs_table(process: Process, items: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> pa.Table:
    """Turns portal elements into the columns of `STUB_COLUMNS`.

    Args:
        process: whose elements they are.
        items: records of `crm.item.list` with id, both times and the field of the month, any order.
        zone: the portal's time zone; periods are its months.

    Raises:
        ContractBrokenError: an element lacks id, createdTime or updatedTime, or one of them cannot be read.
    """
    named = {"period": process.fields.period} if process.cadence == "month" and process.fields.period else {}
    dated = _dated(process, items, mapped_values(process, named, items, {}).get("period", []), zone)
    table = {"rating_id": dated.identifiers, "period": dated.period.dt.date, "updated_at": dated.updated}
    return pa.table(
        {column.name: pa.array(table[column.name], column.type, from_pandas=True) for column in STUB_COLUMNS},
        schema=STUB_COLUMNS,
    )


def ratings_table(
    process: Process,
    items: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, FieldDefinition],
    failure_stages: Collection[str],
    zone: ZoneInfo,
) -> pa.Table:
    """Turns portal elements into the columns of `RATING_COLUMNS`.

    Args:
        process: whose elements they are.
        items: records of `crm.item.list`, any order.
        definitions: the process's `crm.item.fields`, by REST name.
        failure_stages: stage ids without prefix that the funnel calls a failure.
        zone: the portal's time zone; periods are its months.

    Returns:
        One row per item; nothing is known yet of the linked task, and `is_deleted` is false.

    Raises:
        ContractBrokenError: an element lacks id, createdTime, updatedTime or a mapped field, or an id is no number.
    """
    columns = process.fields.names()
    upper_names = {name: definition.upper_name for name, definition in definitions.items()}
    values = mapped_values(process, columns, items, upper_names)
    dated = _dated(process, items, values.get("period", []), zone)
    nothing = [None] * len(items)
    try:
        people = {
            role: np.array([_person(value) for value in values[role]], dtype=np.int64) for role in ("rater", "ratee")
        }
    except (TypeError, ValueError, OverflowError):
        people = {}
    if not people:
        raise ContractBrokenError(
            f"crm.item.list broke its contract: an element of process {process.key} has a person that cannot be read"
        )

    scores = _read_distinct_scores(values["score"], definitions[columns["score"]], process.score_values)
    reasons = definitions[columns["reason"]].option_texts() if "reason" in columns else {}
    stages = [str(item.get("stageId") or "").rpartition(":")[2] for item in items]
    table = {
        "process_key": pa.array([process.key] * len(items), pa.string()),
        "rating_id": dated.identifiers,
        "period": dated.period.dt.date,
        "created_at": dated.created,
        "updated_at": dated.updated,
        "rated_on": dated.rated_on.dt.date,
        "is_period_invalid": dated.is_invalid,
        "stage_id": stages,
        "is_failure_stage": [stage in failure_stages for stage in stages],
        "score": [score for score, _ in scores],
        "score_problem": [problem for _, problem in scores],
        "comment": [_text(value) for value in values["comment"]],
        "reason": [_reason(value, reasons) for value in values.get("reason", nothing)],
        "rater_id": people["rater"],
        "ratee_id": people["ratee"],
        "task_id": np.array([_task(value) for value in values.get("task", nothing)], dtype=np.int64),
        "task_setter_id": np.zeros(len(items), dtype=np.int64),
        "task_executor_id": np.zeros(len(items), dtype=np.int64),
        "task_title": pa.array([""] * len(items), pa.string()),
        "is_deleted": np.zeros(len(items), dtype=bool),
    }
    return pa.table(
        {
            column.name: pa.array(table[column.name], column.type, from_pandas=True)
            if not isinstance(table[column.name], pa.Array)
            else table[column.name]
            for column in RATING_COLUMNS
        },
        schema=RATING_COLUMNS,
    )


def _read_distinct_scores(
    values: list[object], definition: FieldDefinition, score_values: Mapping[str, int]
) -> list[tuple[int | None, str]]:
    """Reads each distinct stored value once: a year of ratings holds a handful of them."""
    keys = [repr(value) for value in values]
    verdicts = {
        key: read_score(value, definition, score_values) for key, value in dict(zip(keys, values, strict=True)).items()
    }
    return [verdicts[key] for key in keys]


def _moment(value: object) -> object:
    """A time as the portal writes it; null stays null. A number would be read as a date of its digits."""
    if value is not None and not isinstance(value, str):
        raise ValueError("expected a time")
    return value


def _person(value: object) -> int:
    """An employee field: an id, or 0, null, "" or an empty list for nobody; of a multiple field the first."""
    if isinstance(value, list):
        value = value[0] if value else 0
    person = _number(value)
    if not 0 <= person < MOST_PERSON_ID:
        raise ValueError("no person has such an id")
    return person


_TASK_ID = re.compile(r"(?:T_?)?(\d{1,18})")


def _task(value: object) -> int:
    """A task field: 17, "17" or "T_17"; anything else is no task."""
    if isinstance(value, list):
        value = value[0] if value else None
    match = _TASK_ID.fullmatch(str(value).strip()) if value is not None else None
    return int(match[1]) if match else 0


def _reason(value: object, options: Mapping[int, str]) -> str:
    """Texts of the chosen options, one per line; an option the field no longer has is dropped."""
    chosen = value if isinstance(value, list) else [value]
    texts = [options.get(int(str(option)), "") for option in chosen if option and str(option).isdecimal()]
    return "\n".join(text for text in texts if text)
