"""A made-up company whose people rate one another's hand-overs: the contents of the stand-in portal.

Belongs here: who works where, who sets tasks to whom, how they are scored, and the events planted into the data.
Does not belong here: the texts (`phrases.py`), what the data mean for the warehouse (`truth.py`), how the portal
answers requests (`server.py`).

The same seed, scale and clock always give the same company. Every part draws from its own stream of chance, so a
change in one part leaves the others as they were. Nothing is dated later than the portal's clock.
"""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sources.stand_in import phrases
from sources.stand_in.state import MOSCOW, PeopleTruth, PortalState, Record, SmartProcess

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

T = TypeVar("T")
Scale = Literal["tiny", "demo", "load"]
ScoreKind = Literal["numbered", "worded", "integer", "string"]

FREEZE_DAY = 8
LONG_USER, LONG_TASK, LONG_ITEM = 712_345_000, 823_456_000, 934_567_000
UNKNOWN_USER = 4_900
"""Distance to an employee id that no user list knows, past everyone that any scale makes."""

SEASON = {12: 1.3, 1: 0.6}
SCORE_SHARES = {1: 0.02, 2: 0.03, 3: 0.08, 4: 0.17}
"""What is left are fives."""
QUALITY_SD, SEVERITY_SD, DEPARTMENT_SD, NOISE_SD = 0.6, 0.8, 0.3, 0.9
TASK_CROSS_SHARE = 0.12
IMPROVERS, IMPROVEMENT, IMPROVED_SINCE = 6, 0.8, 7
SHIFT, SHIFTED_SINCE = 1.0, 6
"""How much stricter one rater becomes, and in which month."""
STRONG_TIE, SUBTLE_TIE, RING_TIE, SINK_TIE = 0.35, 0.1, 0.3, 0.15
"""Share of a setter's tasks that go to the executor they are tied to."""
CERTAIN, SINK = 100.0, -3.0
"""Satisfaction beyond anything that chance brings, which is always a five; and so little that it is rarely a three."""
BRIEF_TEMPLATE_SINCE = 8

WORDED = {5: "Отлично", 4: "Хорошо", 3: "Удовлетворительно", 2: "Плохо", 1: "Очень плохо"}
NUMBERED = {5: "5 — отлично", 4: "4 — хорошо", 3: "3 — терпимо", 2: "2 — плохо", 1: "1 — очень плохо"}
STAGES = (
    ("NEW", "Новая", None, "process"),
    ("PREPARATION", "Ждёт оценки", None, "process"),
    ("CLIENT", "На уточнении", None, "process"),
    ("SUCCESS", "Оценено", "S", "success"),
    ("FAIL", "Отменено", "F", "failure"),
)


class Chance(Random):
    """Draws what `Random` draws from the same seed, in one step where that takes three: half of the work is drawing."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """A whole number from `start` (0 if it stands alone) to below `stop`."""
        low, width = (0, start) if stop is None else (start, stop - start)
        if step != 1 or width <= 0:
            return super().randrange(start, stop, step)
        bits = width.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= width:
            drawn = self.getrandbits(bits)
        return low + drawn

    def choice(self, seq: SupportsLenAndGetItem[T]) -> T:
        """One of a sequence; ValueError or IndexError if it is empty."""
        width = len(seq)
        if not width:
            return super().choice(seq)
        bits = width.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= width:
            drawn = self.getrandbits(bits)
        return seq[drawn]


@dataclass(frozen=True)
class Department:
    """A department and the people who belong to it first of all."""

    id: int
    name: str
    parent: int
    headcount: int


@dataclass(frozen=True)
class Handover:
    """One rated hand-over: a smart process to be, with its people, rhythm and peculiarities.

    Attributes:
        volume: tasks per setter and month on average.
        mix: what goes wrong here, by reason code; the rest is spread over all reasons.
        naming: how the user fields are named: by digits, letters, or letters and digits.
        system_ratee: the ratee is the responsible person of the element, not a user field.
        directed: the configuration names setter and executor departments.
        measured: the configuration names the workgroup of its tasks.
        min_tasks: closed tasks of a pair in a month from which on it has to rate; only where ratings are monthly.
    """

    key: str
    title: str
    entity_type_id: int
    type_id: int
    setters: int
    executors: int
    cadence: Literal["task", "month"]
    volume: float
    score: ScoreKind
    mix: dict[str, float] = field(hash=False)
    group_id: int
    categories: tuple[int, ...]
    naming: Literal["digits", "letters", "mixed"] = "digits"
    system_ratee: bool = False
    reason: bool = False
    directed: bool = False
    measured: bool = True
    min_tasks: int = 1
    counted_stages: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """By the key alone: what depends on a hand-over is looked up for every rating."""
        return hash(self.key)


ROOT, COMMERCE, OPERATIONS, BOARD = 1, 2, 3, 4
ACCOUNTS, SALES, MARKETING, SUPPORT, PEOPLE, FINANCE, LAW = 7, 8, 9, 10, 11, 12, 13
PRODUCTION, DESIGN, LAYOUT, DEVELOPMENT, SITE, SYSTEMS, LOGISTICS = 14, 15, 16, 17, 18, 19, 20

DEPARTMENTS = (
    Department(ROOT, "Агентство «Эстафета»", 0, 0),
    Department(COMMERCE, "Коммерческая дирекция", ROOT, 0),
    Department(OPERATIONS, "Операционная дирекция", ROOT, 0),
    Department(BOARD, "Руководство", ROOT, 6),
    Department(ACCOUNTS, "Аккаунтинг", COMMERCE, 14),
    Department(SALES, "Продажи", COMMERCE, 24),
    Department(MARKETING, "Маркетинг", COMMERCE, 12),
    Department(SUPPORT, "Поддержка", COMMERCE, 12),
    Department(PEOPLE, "Кадры", OPERATIONS, 6),
    Department(FINANCE, "Финансы", OPERATIONS, 9),
    Department(LAW, "Юристы", OPERATIONS, 7),
    Department(PRODUCTION, "Производство", OPERATIONS, 2),
    Department(DESIGN, "Группа дизайна", PRODUCTION, 15),
    Department(LAYOUT, "Группа вёрстки и контента", PRODUCTION, 15),
    Department(DEVELOPMENT, "Разработка", OPERATIONS, 2),
    Department(SITE, "Группа сайта", DEVELOPMENT, 8),
    Department(SYSTEMS, "Группа внутренних систем", DEVELOPMENT, 8),
    Department(LOGISTICS, "Логистика", OPERATIONS, 10),
)
TINY_DEPARTMENTS = (
    Department(ROOT, "Агентство «Эстафета»", 0, 0),
    Department(ACCOUNTS, "Аккаунтинг", ROOT, 4),
    Department(PRODUCTION, "Производство", ROOT, 6),
    Department(LOGISTICS, "Логистика", ROOT, 4),
)

HANDOVERS = (
    Handover(
        "production", "Постановка задач производству", 1036, 7, ACCOUNTS, PRODUCTION, "task", 14, "numbered",
        {"materials": 30, "deadline": 25, "change": 20, "errors": 15}, 11, (54,), reason=True, directed=True,
    ),
    Handover(
        "production_back", "Возврат вопросов аккаунтам", 1038, 8, PRODUCTION, ACCOUNTS, "task", 2.14, "integer",
        {"communication": 35, "materials": 25, "brief": 15}, 12, (55,), directed=True,
    ),
    Handover(
        "salary", "Согласование повышения окладов", 1042, 9, PEOPLE, FINANCE, "month", 6, "integer",
        {"materials": 35, "errors": 30, "process": 20}, 13, (56,), naming="letters",
    ),
    Handover(
        "salary_back", "Запросы финансов кадрам", 1044, 10, FINANCE, PEOPLE, "month", 1.6, "string",
        {"deadline": 35, "brief": 30, "priority": 10}, 14, (57,), measured=False,
    ),
    Handover(
        "contracts", "Согласование договоров", 1050, 11, SALES, LAW, "task", 5, "worded",
        {"deadline": 35, "materials": 30, "brief": 15}, 15, (58, 59), naming="mixed", directed=True,
    ),
    Handover(
        "contracts_back", "Замечания юристов продажам", 1052, 12, LAW, SALES, "task", 5.1, "string",
        {"brief": 35, "deadline": 25, "communication": 15}, 16, (60,),
    ),
    Handover(
        "site", "Доработка сайта и систем", 1060, 14, MARKETING, DEVELOPMENT, "month", 4, "integer",
        {"brief": 40, "change": 30, "acceptance": 15}, 17, (61,), reason=True, counted_stages=("SUCCESS",),
    ),
    Handover(
        "site_back", "Приёмка доработок маркетингом", 1062, 15, DEVELOPMENT, MARKETING, "month", 0.93, "numbered",
        {"acceptance": 30, "deadline": 25, "communication": 20}, 18, (62,),
    ),
    Handover(
        "logistics", "Заявки на отгрузку", 1070, 17, PRODUCTION, LOGISTICS, "task", 6, "string",
        {"errors": 35, "materials": 30, "deadline": 20}, 19, (63,), system_ratee=True,
    ),
    Handover(
        "support", "Передача обращений в разработку", 1076, 21, SUPPORT, DEVELOPMENT, "month", 3, "integer",
        {"brief": 35, "priority": 20, "duplicate": 15, "communication": 10}, 20, (64,), reason=True,
        min_tasks=2,
    ),
)  # fmt: skip


def _tiny_handovers() -> tuple[Handover, ...]:
    """Three hand-overs that can be counted by hand; one of them monthly, so that both cadences are there."""
    forward, back, logistics = (h for h in HANDOVERS if h.key in {"production", "production_back", "logistics"})
    return (
        replace(forward, volume=14),
        replace(back, volume=4),
        replace(logistics, volume=3, cadence="month", min_tasks=2),
    )


@dataclass
class Person:
    """An employee and the habits that make their tasks and their scores."""

    id: int
    department: int
    first: str
    last: str
    middle: str
    female: bool
    email: str
    phone: str
    position: str
    departments: list[int]
    quality: float
    severity: float
    response: float
    load: float
    last_month: int
    """Index of the last month of work; people who are still here have a month that never comes."""
    improves: bool = False
    chronic: str = ""
    career: list[tuple[int, int]] = field(default_factory=list)
    """Month from which on somebody works in a department, or in none (0); before the first entry in `department`."""
    left: datetime | None = None
    """When the account was closed: nobody rates after that."""

    def place(self, month: int) -> int:
        """The department that somebody works in during a month; 0 for none."""
        if self.last_month < month:
            return 0
        return next((place for since, place in reversed(self.career) if since <= month), self.department)


@dataclass
class Rating:
    """A rating on its way into the portal: still free of ids and REST names."""

    handover: Handover
    rater: int
    ratee: int
    task: int
    period: date
    created: datetime
    latent: float
    reason: str
    score: int = 5
    comment: str | None = None
    updated: datetime | None = None
    stage: str = "SUCCESS"
    raw_score: tuple[Any] | None = None
    events: set[str] = field(default_factory=set)


@dataclass
class Ties:
    """Who rates whom otherwise than the work deserves.

    Attributes:
        shares: share of a setter's tasks that go to one executor, by hand-over and setter.
        praised: (rater, ratee) that always give a five.
        sunk: (rater, ratee) that get the lowest scores.
        guests: setters of a hand-over who do not belong to it and only ask the one they are tied to.
        flat: raters who give everybody a five.
        stricter: a rater who becomes stricter.
    """

    shares: dict[tuple[str, int], list[tuple[int, float]]] = field(default_factory=dict)
    praised: set[tuple[int, int]] = field(default_factory=set)
    sunk: set[tuple[int, int]] = field(default_factory=set)
    guests: dict[str, list[int]] = field(default_factory=dict)
    flat: set[int] = field(default_factory=set)
    stricter: int = 0

    def bind(self, handover: str, setter: int, executor: int, share: float) -> None:
        """Sends a share of a setter's tasks to one executor."""
        self.shares.setdefault((handover, setter), []).append((executor, share))

    def bound(self, handover: str, setter: int, chance: Chance) -> int:
        """The executor a task of this setter goes to because they are tied; 0 for none."""
        draw = chance.random()
        for executor, share in self.shares.get((handover, setter), ()):
            if draw < share:
                return executor
            draw -= share
        return 0


@dataclass
class Company:
    """What the parts of the generator share."""

    seed: int
    now: datetime
    months: list[date]
    departments: tuple[Department, ...]
    handovers: tuple[Handover, ...]
    long_ids: bool
    people: dict[int, Person] = field(default_factory=dict)
    tasks: dict[int, Record] = field(default_factory=dict)
    ratings: list[Rating] = field(default_factory=list)
    ties: Ties = field(default_factory=Ties)
    truth: PeopleTruth = field(default_factory=PeopleTruth)
    _dice: Chance = field(default_factory=Chance)

    def chance(self, part: str) -> Chance:
        """A stream of chance of its own for a part of the company."""
        return Chance(f"{self.seed}:{part}")

    def throw(self, part: str) -> Chance:
        """The same, for a few draws: it ends when the next one is asked for. Making a new one costs more than they."""
        self._dice.seed(f"{self.seed}:{part}")
        return self._dice

    def stamp(self, moment: datetime) -> str:
        """Writes a moment the way the portal does; every moment here is in whole seconds of portal time."""
        return moment.isoformat()

    def below(self, department: int) -> set[int]:
        """The department and everything below it."""
        found = {department}
        while True:
            more = {d.id for d in self.departments if d.parent in found} - found
            if not more:
                return found
            found |= more

    def pool(self, department: int, month: int) -> list[Person]:
        """Who works in the department, or below it, in a month."""
        inside = self.below(department)
        return [p for p in self.people.values() if p.place(month) in inside]


def generate(
    seed: int = 1, scale: Scale = "demo", now: datetime | None = None, *, long_ids: bool = False
) -> PortalState:
    """Makes up a company whose data end now.

    Args:
        seed: what chance starts from.
        scale: `tiny` has three departments and two months, `demo` 150 people and twelve months, `load` fifty times
            as many ratings.
        now: the portal's clock; the host's by default. A naive time is taken as portal time.
        long_ids: gives users, tasks and elements nine-digit ids in ranges of their own, which can be searched for.

    Returns:
        The portal, complete with the configuration that fits it.
    """
    moment = now or datetime.now(MOSCOW)
    clock = (moment if moment.tzinfo else moment.replace(tzinfo=MOSCOW)).astimezone(MOSCOW).replace(microsecond=0)
    months = [shift(clock.date(), back) for back in range(-1 if scale == "tiny" else -11, 1)]
    with _without_collection():
        company = found(seed, scale, clock, months, dismissed=1 if scale == "tiny" else 5, long_ids=long_ids)
        live(company, scale)
        touch(company)
        return portal_of(company)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Makes millions of records that all stay: looking for garbage among them again and again takes a third longer."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


LOAD_PEOPLE, LOAD_VOLUME = 10, 5
"""How many times as many people as in the demo the load has, and tasks for each of them."""


def found(
    seed: int,
    scale: Scale,
    now: datetime,
    months: list[date],
    *,
    dismissed: int,
    joiners: int = 0,
    long_ids: bool = False,
) -> Company:
    """Founds a company: departments, people and their habits, no work yet.

    Args:
        seed: what chance starts from.
        scale: how large it is.
        now: when the story ends, in portal time.
        months: first days of the months it tells of, rising.
        dismissed: how many people there are on top of the headcount who leave.
        joiners: how many there are on top of it who come later; the last in `people`.
        long_ids: gives users, tasks and elements nine-digit ids.
    """
    departments: tuple[Department, ...] = DEPARTMENTS
    handovers: tuple[Handover, ...] = HANDOVERS
    if scale == "tiny":
        departments, handovers = TINY_DEPARTMENTS, _tiny_handovers()
    elif scale == "load":
        departments = tuple(replace(d, headcount=d.headcount * LOAD_PEOPLE) for d in DEPARTMENTS)
        handovers = tuple(replace(h, volume=h.volume * LOAD_VOLUME) for h in HANDOVERS)
    company = Company(seed, now, months, departments, handovers, long_ids)
    _hire(company, dismissed, joiners)
    return company


def live(company: Company, scale: Scale) -> None:
    """Lets a company work: tasks, ratings with their scores and comments, odd cases among them."""
    if scale != "tiny":
        _tie(company)
    for handover in company.handovers:
        _work(company, handover)
    _share_tasks(company)
    _score(company)
    _explain(company)
    _plant(company, TINY_EVENTS if scale == "tiny" else DEMO_EVENTS)
    _paste(company)
    _tell(company)


# Time


def shift(day: date, months: int) -> date:
    """First day of the month so many months away."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def at(day: date, clock: time) -> datetime:
    """A moment of portal time."""
    return datetime.combine(day, clock, MOSCOW)


def office(chance: Chance, moment: datetime) -> datetime:
    """Moves a moment to the next time somebody is at work; never back."""
    if moment.hour < 9:
        moment = moment.replace(hour=9 + chance.randrange(4), minute=chance.randrange(60))
    elif moment.hour >= 20:
        moment = (moment + timedelta(days=1)).replace(hour=9 + chance.randrange(4), minute=chance.randrange(60))
    if moment.weekday() >= 5:
        moment += timedelta(days=7 - moment.weekday())
    return moment.replace(microsecond=0)


@cache
def workdays(month: date, first_day: int) -> tuple[date, ...]:
    """Working days of a month from a day on."""
    days = (shift(month, 1) - month).days
    dates = (month.replace(day=day) for day in range(first_day, days + 1))
    return tuple(d for d in dates if d.weekday() < 5)


def moment_in(chance: Chance, month: date, first_day: int = 1) -> datetime:
    """A moment of office hours in a month, from a day on."""
    day = chance.choice(workdays(month, first_day))
    hour, minute, second = chance.randrange(9, 19), chance.randrange(60), chance.randrange(60)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=MOSCOW)


# People


def _hire(company: Company, dismissed: int, joiners: int) -> None:
    """Fills the departments; the dismissed come on top of the headcount and leave during the year."""
    chance = company.chance("people")
    taken: set[tuple[str, str]] = set()
    emails: set[str] = set()
    base = LONG_USER if company.long_ids else 0
    places = [d for d in company.departments for _ in range(d.headcount)]
    staffed = [d for d in company.departments if d.headcount > 3]
    extra = [staffed[(3 * n + 1) % len(staffed)] for n in range(dismissed + joiners)]
    for number, department in enumerate([*places, *extra], start=2):
        person = _person(chance, base + number, department, taken, emails)
        if len(places) + 2 <= number < len(places) + 2 + dismissed:
            person.last_month = max(0, min(len(company.months) - 2, 2 + chance.randrange(6)))
        company.people[person.id] = person
    _promote(company)
    _second_jobs(company, chance)
    _habits(company)


def _person(
    chance: Chance, number: int, department: Department, taken: set[tuple[str, str]], emails: set[str]
) -> Person:
    """Somebody whose full name and address nobody else has."""
    while True:
        female = chance.random() < 0.55
        stem = chance.choice(phrases.SURNAMES)
        first = chance.choice(phrases.FEMALE_NAMES if female else phrases.MALE_NAMES)
        last = phrases.feminine(stem) if female else stem
        if (last, first) not in taken:
            break
    taken.add((last, first))
    local = f"{phrases.latin(first)[0]}.{phrases.latin(last)}"
    email, copies = local, 1
    while email in emails:
        copies += 1
        email = f"{local}{copies}"
    emails.add(email)
    digits = f"{chance.randrange(10**7):07d}"
    return Person(
        id=number,
        department=department.id,
        first=first,
        last=last,
        middle=chance.choice(phrases.PATRONYMICS)[female],
        female=female,
        email=f"{email}@estafeta.example",
        phone=f"+7 999 {digits[:3]}-{digits[3:5]}-{digits[5:]}",
        position=chance.choice(phrases.POSITIONS[department.name]),
        departments=[department.id],
        quality=0.0,
        severity=chance.gauss(0, SEVERITY_SD),
        response=chance.betavariate(6, 2),
        load=chance.lognormvariate(-0.18, 0.6),
        last_month=10**6,
    )


def _promote(company: Company) -> None:
    """The first of a department leads it; every seat on the board has a title of its own."""
    for department in company.departments:
        colleagues = [p for p in company.people.values() if p.department == department.id]
        if department.id == BOARD:
            for person, title in zip(colleagues, phrases.POSITIONS[department.name], strict=False):
                person.position = title
        elif colleagues:
            group = department.name.startswith("Группа")
            colleagues[0].position = "Руководитель группы" if group else "Руководитель отдела"


def _second_jobs(company: Company, chance: Chance) -> None:
    """Some people belong to two departments; some of the dismissed have lost theirs."""
    people = list(company.people.values())
    staffed = [d.id for d in company.departments if d.headcount]
    for person in chance.sample([p for p in people if p.last_month > 100], 1 if len(people) < 50 else 4):
        person.departments.append(next(d for d in staffed if d != person.department))
    gone = [p for p in people if p.last_month <= 100]
    if len(gone) > 1:
        gone[-1].departments = []


def _habits(company: Company) -> None:
    """Who sets tasks well, who gets better, and who never explains a low score."""
    chance = company.chance("habits")
    climate = {d.id: chance.gauss(0, DEPARTMENT_SD) for d in company.departments}
    for person in company.people.values():
        person.quality = chance.gauss(0, QUALITY_SD) - climate[person.department]
    for department in company.departments:
        colleagues = [p for p in company.people.values() if p.department == department.id]
        # Volumes are means per setter, whatever few busy people chance has put into a small department.
        total = sum(p.load for p in colleagues)
        for person in colleagues:
            person.load *= len(colleagues) / total
    setters = [p for h in company.handovers[::2] for p in company.pool(h.setters, 100)]
    if len(company.months) > IMPROVED_SINCE:
        weak = sorted({p.id: p for p in setters}.values(), key=lambda p: p.quality)[: IMPROVERS * 3]
        for person in chance.sample(weak, IMPROVERS):
            person.improves = True
    raters = company.pool(PRODUCTION, 100) + company.pool(LOGISTICS, 100) + company.pool(LAW, 100)
    count = 1 if len(company.people) < 50 else len(phrases.CHRONIC)
    for person, phrase in zip(chance.sample(raters, count), phrases.CHRONIC, strict=False):
        person.chronic = phrase


# Work: tasks and who rates them


def _work(company: Company, handover: Handover) -> None:
    """Sets the tasks of one hand-over and collects the ratings that executors give."""
    chance, ties = company.chance(f"work:{handover.key}"), company.chance(f"ties:{handover.key}")
    favourites: dict[int, list[Person]] = {}
    # The month before the first gives it ratings of tasks that were set earlier, as in any month.
    for index, month in enumerate([shift(company.months[0], -1), *company.months], start=-1):
        setters, executors = company.pool(handover.setters, index), company.pool(handover.executors, index)
        outsiders = _outsiders(company, handover, index)
        present = {p.id for p in executors}
        asked: dict[tuple[int, int], datetime] = {}
        guests = [company.people[number] for number in company.ties.guests.get(handover.key, [])]
        for setter in [*setters, *guests]:
            near = favourites.setdefault(setter.id, chance.sample(executors, min(5, len(executors))))
            near = [p for p in near if p.id in present] or executors
            mean = GUEST_VOLUME if setter in guests else handover.volume * setter.load
            for _ in range(_poisson(chance, mean * SEASON.get(month.month, 1.0))):
                executor = chance.choice(near if chance.random() < 0.7 else executors)
                pair = _cross(chance, setter, executor, outsiders)
                bound = company.ties.bound(handover.key, setter.id, ties)
                if bound:
                    pair = (setter, company.people[bound])
                created = moment_in(chance, month)
                closed = _task(company, handover, pair, created, chance)
                if handover.cadence == "month":
                    key = (pair[0].id, pair[1].id)
                    asked[key] = min(created, asked.get(key, created))
                elif closed:
                    _rate_task(company, handover, pair, closed, chance)
        _rate_month(company, handover, month, asked, chance)


def _outsiders(company: Company, handover: Handover, month: int) -> list[Person]:
    """Who may take part now and then although the hand-over is not between their departments."""
    inside = company.below(handover.setters) | company.below(handover.executors)
    return [p for p in company.people.values() if p.place(month) not in {0, *inside}]


def _cross(chance: Chance, setter: Person, executor: Person, outsiders: Sequence[Person]) -> tuple[Person, Person]:
    """Now and then one side of a task comes from a third department, which ties the company together."""
    if not outsiders or chance.random() >= TASK_CROSS_SHARE:
        return setter, executor
    outsider = chance.choice(outsiders)
    return (outsider, executor) if chance.random() < 0.5 else (setter, outsider)


def _poisson(chance: Chance, mean: float) -> int:
    """Knuth's method: the means here are small."""
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count


def _task(
    company: Company, handover: Handover, pair: tuple[Person, Person], created: datetime, chance: Chance
) -> datetime | None:
    """Writes a task and says when it was closed; tasks that are open or not yet set have no rating."""
    closed = office(chance, created + timedelta(days=chance.lognormvariate(0.7, 0.7)))
    deadline = (created + timedelta(days=chance.randrange(2, 9))).replace(hour=19, minute=0, second=0)
    area = phrases.AREAS[handover.key]
    title = chance.choice(area.titles).format(
        client=chance.choice(phrases.CLIENTS), number=chance.randrange(1000, 9999)
    )
    if created > company.now:
        return None
    number = (LONG_TASK if company.long_ids else 100) + len(company.tasks) + 1
    done = closed <= company.now
    was_set = company.stamp(created)
    was_closed = company.stamp(closed) if done else None
    changed = was_closed or was_set
    setter, executor = pair
    company.tasks[number] = {
        "id": str(number),
        "parentId": "0",
        "title": title,
        "description": "",
        "mark": None,
        "priority": "2" if chance.random() < 0.1 else "1",
        "status": "5" if done else chance.choice("23"),
        "multitask": "N",
        "groupId": str(handover.group_id),
        "stageId": "0",
        "createdBy": str(setter.id),
        "createdDate": was_set,
        "responsibleId": str(executor.id),
        "changedBy": str(executor.id if done else setter.id),
        "changedDate": changed,
        "statusChangedBy": str(executor.id if done else setter.id),
        "statusChangedDate": changed,
        "closedBy": str(executor.id) if done else "0",
        "closedDate": was_closed,
        "activityDate": changed,
        "dateStart": None,
        # An open task would be due in the future, and nothing here is later than the clock.
        "deadline": company.stamp(deadline) if deadline <= company.now else None,
        "accomplices": [],
        "auditors": [],
        "commentsCount": None,
        "taskControl": "N",
        "siteId": "s1",
        "xmlId": None,
    }
    return closed if done else None


HELPED_SHARE = 0.02
"""Of the tasks, so many are done by two people."""


def _share_tasks(company: Company) -> None:
    """A few tasks have an accomplice, who should rate the setter as well, and does not."""
    chance = company.chance("accomplices")
    seats = {number: person.department for number, person in company.people.items()}
    colleagues: dict[int, list[int]] = {}
    for number, department in seats.items():
        colleagues.setdefault(department, []).append(number)
    for task in company.tasks.values():
        if chance.random() < HELPED_SHARE:
            setter, executor = int(task["createdBy"]), int(task["responsibleId"])
            others = [number for number in colleagues[seats[executor]] if number not in (setter, executor)]
            task["accomplices"] = [str(chance.choice(others))] if others else []


def _rate_task(
    company: Company, handover: Handover, pair: tuple[Person, Person], closed: datetime, chance: Chance
) -> None:
    """The executor scores a closed task, sooner or later, if at all."""
    setter, executor = pair
    created = office(chance, closed + timedelta(days=chance.lognormvariate(0, 1.0)))
    answered = chance.random() < executor.response
    if answered and company.months[0] <= created.date() and created <= company.now:
        period = created.date().replace(day=1)
        task = int(next(reversed(company.tasks)))
        _add_rating(company, handover, pair=(executor, setter), task=task, period=period, created=created)


def _rate_month(
    company: Company, handover: Handover, month: date, asked: dict[tuple[int, int], datetime], chance: Chance
) -> None:
    """Executors score everyone who asked them during the month: in its last days, a few just after it."""
    for (setter, executor), first_task in asked.items():
        late = chance.random() < 0.08
        created = moment_in(chance, month, 20)
        if late:
            after = shift(month, 1).replace(day=1 + chance.randrange(FREEZE_DAY - 1))
            created = at(after, time(chance.randrange(9, 20), chance.randrange(60), chance.randrange(60)))
        answered = chance.random() < company.people[executor].response
        if not answered or not first_task < created <= company.now or month < company.months[0]:
            continue
        pair = (company.people[executor], company.people[setter])
        _add_rating(company, handover, pair=pair, task=0, period=month, created=created)


def _add_rating(
    company: Company, handover: Handover, *, pair: tuple[Person, Person], task: int, period: date, created: datetime
) -> None:
    """Adds a rating with the satisfaction behind it and what would be complained about."""
    rater, ratee = pair
    if rater.left is not None and created >= rater.left:
        return
    chance = company.throw(f"rating:{handover.key}:{len(company.ratings)}")
    index = (period.year - company.months[0].year) * 12 + period.month - company.months[0].month
    reason = _reason(handover, index, chance)
    shock = -1.0 if chance.random() < (0.2 if reason == "brief" else 0.25) else 0.0
    progress = IMPROVEMENT if ratee.improves and index >= IMPROVED_SINCE else 0.0
    severity = rater.severity + (SHIFT if rater.id == company.ties.stricter and index >= SHIFTED_SINCE else 0.0)
    latent = ratee.quality + progress - severity + shock + chance.gauss(0, NOISE_SD)
    latent += _bias(company.ties, rater.id, ratee.id)
    company.ratings.append(Rating(handover, rater.id, ratee.id, task, period, created, latent=latent, reason=reason))


def _bias(ties: Ties, rater: int, ratee: int) -> float:
    """What is added to satisfaction for reasons that are not the work."""
    if (rater, ratee) in ties.sunk:
        return SINK
    return CERTAIN if (rater, ratee) in ties.praised or rater in ties.flat else 0.0


_REASONS = tuple(phrases.REASONS)


def _reason(handover: Handover, month: int, chance: Chance) -> str:
    """What goes wrong here; contracts got a template for briefs, which halves that reason."""
    is_halved = handover.key == "contracts" and month >= BRIEF_TEMPLATE_SINCE
    return chance.choices(_REASONS, cum_weights=_reason_weights(handover, is_halved))[0]


@cache
def _reason_weights(handover: Handover, is_brief_halved: bool) -> list[float]:
    """Weights of all reasons, summed up."""
    mix = dict(handover.mix)
    if is_brief_halved:
        mix["brief"] /= 2
    rest = max(0.0, 100 - sum(handover.mix.values())) / len(phrases.REASONS)
    return list(accumulate(mix.get(code, 0.0) + rest for code in phrases.REASONS))


# Who rates otherwise than the work deserves

GUEST_VOLUME = 1.5
"""Tasks a month from a setter who does not belong to a hand-over."""


def _tie(company: Company) -> None:
    """Ties people together: pairs and a ring that praise each other, raters who sink or praise without looking."""
    chance, ties, truth = company.chance("ties"), company.ties, company.truth
    taken: set[int] = set()

    def draw(department: int) -> int:
        """Somebody who stays where they are, and who does nothing else of this kind."""
        fitting = [
            p
            for p in company.pool(department, 0)
            if p.last_month > 100 and not p.career and not p.chronic and not p.improves and p.id not in taken
        ]
        # The eager ones: who has a few tasks a year and answers half of them shows nothing to anybody.
        fitting.sort(key=lambda p: p.load * p.response, reverse=True)
        taken.add(found := chance.choice(fitting[: max(3, len(fitting) // 2)]).id)
        return found

    both_ways = (("production", ACCOUNTS, PRODUCTION), ("contracts", SALES, LAW))
    for share, pairs in ((STRONG_TIE, truth.reciprocal_strong), (SUBTLE_TIE, truth.reciprocal_subtle)):
        for key, here, there in both_ways:
            one, other = draw(here), draw(there)
            ties.bind(key, one, other, share)
            ties.bind(f"{key}_back", other, one, share)
            ties.praised |= {(one, other), (other, one)}
            pairs.append((one, other))

    account, producer, carrier = draw(ACCOUNTS), draw(PRODUCTION), draw(LOGISTICS)
    ties.bind("production", account, producer, RING_TIE)
    ties.bind("logistics", producer, carrier, RING_TIE)
    ties.bind("production_back", carrier, account, 1.0)
    ties.guests["production_back"] = [carrier]
    ties.praised |= {(producer, account), (carrier, producer), (account, carrier)}
    truth.ring = [(producer, account), (carrier, producer), (account, carrier)]

    for key, here, there in (*both_ways, both_ways[0]):
        setter, rater = draw(here), draw(there)
        ties.bind(key, setter, rater, SINK_TIE)
        ties.sunk.add((rater, setter))
        truth.sinkers.append((rater, setter))
    truth.straight_liners = [draw(PRODUCTION), draw(PRODUCTION)]
    ties.flat = set(truth.straight_liners)
    ties.stricter = draw(PRODUCTION)
    if len(company.months) > SHIFTED_SINCE:
        truth.stricter[ties.stricter] = company.months[SHIFTED_SINCE]


def _tell(company: Company) -> None:
    """Writes down what the scores were made from."""
    truth = company.truth
    truth.quality = {p.id: p.quality for p in company.people.values()}
    truth.severity = {p.id: p.severity for p in company.people.values()}
    if len(company.months) > IMPROVED_SINCE:
        since = company.months[IMPROVED_SINCE]
        truth.improved = {p.id: since for p in company.people.values() if p.improves}


# Scores and comments


def _score(company: Company) -> None:
    """Cuts satisfaction into scores so that the whole company shows the usual shares, mostly fives."""
    ranked = sorted(company.ratings, key=lambda r: r.latent)
    start = 0
    for score, share in SCORE_SHARES.items():
        stop = start + round(share * len(ranked))
        for rating in ranked[start:stop]:
            rating.score = score
        start = stop
    if start < len(ranked):
        company.truth.five_from = ranked[start].latent


def _explain(company: Company) -> None:
    """Writes the comments: mostly real reasons, some vague ones, some junk, a little praise."""
    chance = company.chance("comments")
    for rating in company.ratings:
        if rating.score == 5:
            praised = chance.random() < 0.1
            rating.comment = chance.choice(phrases.PRAISE) if praised else chance.choice((None, ""))
            continue
        chronic = company.people[rating.rater].chronic
        draw = chance.random()
        if chronic or draw >= 0.91:
            rating.comment = chronic or chance.choice(phrases.JUNK_TEXTS)
            rating.events.add("comment_junk")
        elif draw >= 0.81:
            rating.comment = chance.choice(phrases.VAGUE_TEXTS)
            rating.events.add("comment_vague")
        else:
            rating.comment = _real(rating, chance)
            rating.events.add("comment_real")
            rating.events.add(f"reason_{rating.reason}")


def _real(rating: Rating, chance: Chance) -> str:
    """A complaint with a reason in it, with the slips of real people."""
    if chance.random() < 0.03:
        return chance.choice(phrases.ENGLISH)
    area = phrases.AREAS[rating.handover.key]
    text = chance.choice(phrases.REAL[rating.reason]).format(
        need=chance.choice(area.need), thing=chance.choice(area.thing), when=chance.choice(phrases.WHEN)
    )
    if chance.random() < 0.05:
        place = chance.randrange(1, len(text) - 1)
        text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if chance.random() < 0.04:
        text += " " + chance.choice(phrases.EMOJI)
    if chance.random() < 0.01:
        text = chance.choice(phrases.SWEARING) + text
    return text


# Planted events

DEMO_EVENTS = {
    "identifier": 40,
    "duplicate": 4,
    "self_rating": 2,
    "score_range": 1,
    "no_score": 1,
    "unknown_rater": 1,
    "no_rater": 1,
    "no_ratee": 1,
    "wrong_direction": 2,
    "out_of_window": 1,
    "stage_not_counted": 4,
    "markup": 20,
    "invisible": 3,
    "comment_title_copy": 6,
    "comment_contradiction": 6,
    "comment_profanity": 4,
}
TINY_EVENTS = {**dict.fromkeys(DEMO_EVENTS, 1), "identifier": 4, "invisible": 2, "duplicate": 2}


def _plant(company: Company, events: dict[str, int]) -> None:
    """Puts the odd cases into the data, each into a rating of its own."""
    planter = _Planter(company)
    for event, count in events.items():
        for number in range(count):
            planter.plant(event, number)


def touch(company: Company) -> None:
    """Some ratings change days later, robots touch others within seconds, a few wait on a middle stage."""
    chance = company.chance("edits")
    for rating in company.ratings:
        draw = chance.random()
        if draw < 0.03:
            edited = office(chance, rating.created + timedelta(days=chance.lognormvariate(1.5, 1.0)))
            if edited <= company.now:
                rating.updated = edited
                rating.events.add("edit")
        elif draw < 0.3:
            rating.updated = min(company.now, rating.created + timedelta(seconds=chance.randrange(1, 30)))
        elif draw > 0.98 and rating.stage == "SUCCESS" and not rating.handover.counted_stages:
            rating.stage = "CLIENT"


class _Planter:
    """Finds a fitting rating for every odd case and makes it odd."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.chance = company.chance("events")
        self.number = 0
        self.used: set[int] = set()
        # Old enough that a case which comes a little after its rating is still not in the future.
        self.deck = [r for r in company.ratings if r.created < company.now - timedelta(days=3)]
        self.chance.shuffle(self.deck)
        late = company.now - timedelta(days=FREEZE_DAY + 5)
        self.late_month = shift(late.date(), 0)
        self.cases: dict[str, tuple[Callable[[Rating], bool], Callable[[Rating], Rating]]] = {
            "identifier": (self.is_explained, self.identifier),
            "duplicate": (self.is_duplicable, self.duplicate),
            "self_rating": (lambda _: True, self.self_rating),
            "score_range": (lambda r: r.handover.score == "integer", self.score_range),
            "no_score": (lambda _: True, self.no_score),
            "unknown_rater": (lambda _: True, self.unknown_rater),
            "no_rater": (lambda _: True, self.no_rater),
            "no_ratee": (lambda _: True, self.no_ratee),
            "wrong_direction": (self.is_linked, self.wrong_direction),
            "out_of_window": (self.is_lateable, self.out_of_window),
            "stage_not_counted": (self.is_cancellable, self.stage_not_counted),
            "markup": (self.is_explained, self.markup),
            "invisible": (self.is_explained, self.invisible),
            "comment_title_copy": (lambda r: self.is_explained(r) and r.task > 0, self.title_copy),
            "comment_contradiction": (self.is_explained, self.contradiction),
            "comment_profanity": (self.is_explained, self.profanity),
        }

    def plant(self, event: str, number: int) -> None:
        """Plants one case; a very small company may have no rating that fits."""
        self.number = number
        fits, make = self.cases[event]
        rating = next((r for r in self.deck if id(r) not in self.used and fits(r)), None)
        if rating is None:
            return
        planted = make(rating)
        planted.events.add(event)
        self.used |= {id(rating), id(planted)}

    # What fits

    def is_explained(self, rating: Rating) -> bool:
        """A low score with a real reason."""
        return "comment_real" in rating.events

    def is_clean(self, rating: Rating) -> bool:
        """Nothing else is wrong with it."""
        return rating.score == 5 or self.is_explained(rating)

    def is_duplicable(self, rating: Rating) -> bool:
        """Mostly tasks, every fourth one a monthly rating."""
        return (rating.handover.cadence == "month") == (self.number % 4 == 1) and self.is_clean(rating)

    def is_linked(self, rating: Rating) -> bool:
        """A linked task; the second time where only the task can tell the direction."""
        return rating.task > 0 and rating.handover.directed == (self.number == 0)

    def is_lateable(self, rating: Rating) -> bool:
        """A monthly rating of the month that is to be rated late, so that it duplicates none of that month."""
        target = shift(self.late_month, -1)
        inside = target >= self.company.months[0]
        return rating.handover.cadence == "month" and (rating.period == target or not inside)

    def is_cancellable(self, rating: Rating) -> bool:
        """The fourth time where the configuration lists the stages that count."""
        return bool(rating.handover.counted_stages) == (self.number == 3) and self.is_clean(rating)

    # What happens

    def identifier(self, rating: Rating) -> Rating:
        """A comment gives a colleague or a task away."""
        kind = list(phrases.IDENTIFIERS)[self.number % len(phrases.IDENTIFIERS)]
        others = [p for p in self.company.people.values() if p.id != rating.rater]
        known = self.company.people[rating.ratee]
        person = known if self.chance.random() < 0.5 else self.chance.choice(others)
        rating.comment = self.chance.choice(phrases.IDENTIFIERS[kind]).format(
            first=person.first,
            last=person.last,
            middle=person.middle,
            phone=person.phone,
            email=person.email,
            task=rating.task or self.chance.choice(list(self.company.tasks)),
        )
        rating.events.add(f"identifier_{kind}")
        return rating

    def duplicate(self, rating: Rating) -> Rating:
        """The same hand-over is rated again within minutes; the first one stands."""
        later = rating.created + timedelta(minutes=self.chance.randrange(2, 40))
        again = replace(rating, created=later, events=set(rating.events))
        rating.events.add("duplicated")
        self.company.ratings.append(again)
        return again

    def self_rating(self, rating: Rating) -> Rating:
        """Somebody rates themselves."""
        rating.ratee = rating.rater
        return rating

    def score_range(self, rating: Rating) -> Rating:
        """A score that is not on the scale."""
        rating.raw_score = (7,)
        return rating

    def no_score(self, rating: Rating) -> Rating:
        """The score was left out."""
        rating.raw_score = (None,)
        return rating

    def unknown_rater(self, rating: Rating) -> Rating:
        """A rater whom no user list knows."""
        rating.rater = (LONG_USER if self.company.long_ids else 0) + UNKNOWN_USER + self.number
        return rating

    def no_rater(self, rating: Rating) -> Rating:
        """Nobody is named as the rater."""
        rating.rater = 0
        return rating

    def no_ratee(self, rating: Rating) -> Rating:
        """Nobody is named as the ratee."""
        rating.ratee = 0
        return rating

    def wrong_direction(self, rating: Rating) -> Rating:
        """The setter rates the executor: the form was filled in the wrong way round."""
        rating.rater, rating.ratee = rating.ratee, rating.rater
        return rating

    def out_of_window(self, rating: Rating) -> Rating:
        """A rating of a month comes after that month was frozen."""
        rating.period = shift(self.late_month, -1)
        day = self.late_month.replace(day=FREEZE_DAY + self.chance.randrange(1, 4))
        rating.created = at(day, time(11, 5))
        return rating

    def stage_not_counted(self, rating: Rating) -> Rating:
        """Cancelled elements; where the configuration lists counted stages, any other stage."""
        rating.stage = "PREPARATION" if rating.handover.counted_stages else "FAIL"
        return rating

    def markup(self, rating: Rating) -> Rating:
        """A comment pasted from a page or a chat."""
        rating.comment = phrases.MARKUP[self.number % len(phrases.MARKUP)].format(text=rating.comment)
        return rating

    def invisible(self, rating: Rating) -> Rating:
        """Invisible characters instead of a comment, then in the middle of one."""
        if self.number == 0:
            rating.comment = phrases.INVISIBLE * 3
            rating.events = {"comment_junk"}
        else:
            rating.comment = str(rating.comment).replace(" ", f" {phrases.INVISIBLE}", 1) + phrases.INVISIBLE
        return rating

    def title_copy(self, rating: Rating) -> Rating:
        """The title of the task instead of a reason."""
        rating.comment = self.company.tasks[rating.task]["title"]
        rating.events = {"comment_junk"}
        return rating

    def contradiction(self, rating: Rating) -> Rating:
        """Praise under a lowered score."""
        rating.comment = phrases.CONTRADICTION[self.number % len(phrases.CONTRADICTION)]
        rating.events = {"comment_vague"}
        return rating

    def profanity(self, rating: Rating) -> Rating:
        """Swearing and nothing else."""
        rating.comment = phrases.PROFANITY_ONLY[self.number % len(phrases.PROFANITY_ONLY)]
        rating.events = {"comment_junk"}
        return rating


PASTED_DAYS, PASTED_TIMES = 90, 3


def _paste(company: Company) -> None:
    """One rater gives the same reason every time; a very small company may have nobody who lowers scores that often."""
    lowered: dict[int, list[Rating]] = {}
    for rating in sorted(company.ratings, key=lambda r: r.created):
        if "comment_real" in rating.events and all(e.startswith(("comment_", "reason_")) for e in rating.events):
            lowered.setdefault(rating.rater, []).append(rating)
    fitting = []
    for _, own in sorted(lowered.items()):
        for first in own:
            near = [r for r in own if timedelta() <= r.created - first.created < timedelta(days=PASTED_DAYS - 1)]
            if len(near) >= PASTED_TIMES and len({r.ratee for r in near}) > 1:
                fitting.append(near)
                break
    if fitting:
        for rating in company.chance("copy-paste").choice(fitting):
            rating.comment = phrases.PASTED
            rating.events = {"comment_vague", "comment_copy_paste"}


# REST shapes


def portal_of(company: Company) -> PortalState:
    """Puts everything into the shapes that the portal's REST interface answers with."""
    state = empty_portal(company)
    state.users, state.tasks = user_rows(company), dict(company.tasks)
    for handover in company.handovers:
        ratings = sorted((r for r in company.ratings if r.handover.key == handover.key), key=lambda r: r.created)
        _fill(state, company, handover, ratings)
    if len(company.handovers) == len(HANDOVERS):
        _decide(state, company)
    return state


def empty_portal(company: Company) -> PortalState:
    """A portal with the company's departments and smart processes, but nobody in it and nothing done."""
    return PortalState(
        now=company.now,
        timezone=MOSCOW,
        users={},
        departments=_departments(company),
        tasks={},
        processes={h.entity_type_id: _process(h) for h in company.handovers},
        config=_config(company),
        webhook_user=_webhook_user(company),
        people=company.truth,
    )


def _webhook_user(company: Company) -> int:
    return (LONG_USER if company.long_ids else 0) + 1


def user_rows(company: Company) -> dict[int, Record]:
    """Rows of `user.get`: an administrator who owns the webhook, the staff, and a guest from outside."""
    chance = company.chance("users")
    admin = Person(
        _webhook_user(company), ROOT, "Администратор", "Портала", "", False, "portal@estafeta.example", "", "",
        [ROOT], 0, 0, 0, 0, 10**6,
    )  # fmt: skip
    guest = replace(
        admin, id=max(company.people) + 1, first="Гость", last="Подрядчика", email="guest@partner.example",
        departments=[],
    )  # fmt: skip
    users = {p.id: _user(company, p, chance) for p in [admin, *company.people.values(), guest]}
    users[guest.id]["USER_TYPE"] = "extranet"
    return users


def _user(company: Company, person: Person, chance: Chance) -> Record:
    active = person.last_month > 100
    registered = moment_in(chance, shift(company.months[0], -chance.randrange(2, 60)))
    seen = company.now - timedelta(hours=chance.randrange(1, 90))
    if not active:
        seen = at(shift(company.months[0], person.last_month + 1), time(9)) - timedelta(hours=15)
    return {
        "ID": str(person.id),
        "XML_ID": None,
        "ACTIVE": active,
        "NAME": person.first,
        "LAST_NAME": person.last,
        "SECOND_NAME": person.middle,
        "EMAIL": person.email,
        "LAST_LOGIN": company.stamp(min(seen, company.now)),
        "DATE_REGISTER": company.stamp(registered),
        "TIME_ZONE": "",
        "IS_ONLINE": "N",
        # A real portal answers with an empty map here more often than with a date.
        "TIMESTAMP_X": {},
        "LAST_ACTIVITY_DATE": {},
        "PERSONAL_GENDER": "F" if person.female else "M",
        "PERSONAL_BIRTHDAY": "",
        "PERSONAL_MOBILE": person.phone,
        "WORK_POSITION": person.position,
        "UF_EMPLOYMENT_DATE": "",
        "UF_DEPARTMENT": list(person.departments),
        "USER_TYPE": "employee",
    }


def _departments(company: Company) -> dict[int, Record]:
    """Rows of `department.get`: the root has no parent, a department without people no head."""
    rows: dict[int, Record] = {}
    for department in company.departments:
        row: Record = {"ID": str(department.id), "NAME": department.name, "SORT": 500}
        if department.parent:
            row["PARENT"] = str(department.parent)
        head = _head(company, department.id)
        if head:
            row["UF_HEAD"] = str(head)
        rows[department.id] = row
    return rows


def _head(company: Company, department: int) -> int:
    """The first of the people in a department; the board heads the company and its divisions."""
    board = [p.id for p in company.people.values() if p.department == BOARD]
    if department in (ROOT, COMMERCE, OPERATIONS) and board:
        return board[(ROOT, COMMERCE, OPERATIONS).index(department)]
    return next((p.id for p in company.people.values() if p.department == department), 0)


ROLES = ("score", "comment", "rater", "ratee", "task", "period", "reason")
ROLE_TITLES = {
    "score": "Оценка",
    "comment": "Комментарий",
    "rater": "Кто оценил",
    "ratee": "Постановщик",
    "task": "Задача",
    "period": "Месяц",
    "reason": "Причина снижения",
}


@cache
def roles_of(handover: Handover) -> dict[str, str]:
    """REST name of every field that a hand-over has."""
    names = {role: _rest_name(handover, role) for role in ROLES}
    if handover.system_ratee:
        names["ratee"] = "assignedById"
    del names["period" if handover.cadence == "task" else "task"]
    if not handover.reason:
        del names["reason"]
    return names


def _rest_name(handover: Handover, role: str) -> str:
    if handover.naming == "letters":
        return f"ufCrm{handover.type_id}{role.capitalize()}"
    if handover.naming == "mixed":
        return f"ufCrm_{handover.type_id}_{role.upper()}1"
    return f"ufCrm{handover.type_id}_17000000{ROLES.index(role) + 1:02d}"


def _upper_name(handover: Handover, role: str) -> str:
    prefix = f"UF_CRM_{handover.type_id}_"
    if handover.naming == "letters":
        return prefix + role.upper()
    if handover.naming == "mixed":
        return f"{prefix}{role.upper()}1"
    return f"{prefix}17000000{ROLES.index(role) + 1:02d}"


@cache
def _options(handover: Handover) -> dict[int, int]:
    """Option id of every score; ids are the portal's, far from the scores and not in their order."""
    return {score: handover.type_id * 100 + (score * 3) % 7 for score in range(1, 6)}


@cache
def _reason_options(handover: Handover) -> dict[str, int]:
    return {code: handover.type_id * 100 + 40 + n for n, code in enumerate(phrases.REASONS)}


SYSTEM_FIELDS = {
    "id": ("integer", True, "ID"),
    "title": ("string", False, "Название"),
    "xmlId": ("string", False, "Внешний код"),
    "createdTime": ("datetime", True, "Когда создан"),
    "updatedTime": ("datetime", True, "Когда обновлён"),
    "movedTime": ("datetime", True, "Когда изменена стадия"),
    "createdBy": ("user", True, "Кем создан"),
    "updatedBy": ("user", True, "Кем обновлён"),
    "movedBy": ("user", True, "Кем изменена стадия"),
    "assignedById": ("user", False, "Ответственный"),
    "opened": ("boolean", False, "Доступен всем"),
    "categoryId": ("crm_category", False, "Воронка"),
    "stageId": ("crm_status", False, "Стадия"),
    "previousStageId": ("crm_status", True, "Предыдущая стадия"),
    "begindate": ("date", False, "Дата начала"),
    "closedate": ("date", False, "Дата завершения"),
    "companyId": ("crm_company", False, "Компания"),
    "contactId": ("crm_contact", False, "Контакт"),
    "observers": ("user", False, "Наблюдатели"),
    "opportunity": ("double", False, "Сумма"),
    "currencyId": ("crm_currency", False, "Валюта"),
    "isManualOpportunity": ("boolean", False, "Сумма вручную"),
    "sourceId": ("crm_status", False, "Источник"),
    "sourceDescription": ("text", False, "Об источнике"),
    "webformId": ("integer", False, "Форма"),
    "lastActivityBy": ("user", True, "Кто был последним"),
    "lastActivityTime": ("datetime", True, "Последнее действие"),
}
"""Type, whether it is read-only, and title."""


def _upper(name: str) -> str:
    return "".join(f"_{char}" if char.isupper() else char.upper() for char in name)


def _field(kind: str, title: str, upper: str, *, read_only: bool = False, dynamic: bool = False) -> Record:
    """A definition as `crm.item.fields` returns it."""
    return {
        "type": kind,
        "isRequired": False,
        "isReadOnly": read_only,
        "isImmutable": False,
        "isMultiple": upper == "OBSERVERS",
        "isDynamic": dynamic,
        "title": title,
        "upperName": upper,
    }


def _own_field(kind: str, title: str, upper: str, *, is_required: bool) -> Record:
    """The definition of a field that an administrator added."""
    definition = _field(kind, title, upper, dynamic=True)
    definition |= {"isRequired": is_required, "settings": {}}
    return definition | dict.fromkeys(("listLabel", "formLabel", "filterLabel"), title)


def _system_fields(entity_type_id: int, categories: tuple[int, ...]) -> dict[str, Record]:
    """Fields that every smart process has."""
    fields = {
        name: _field(kind, title, _upper(name), read_only=read_only)
        for name, (kind, read_only, title) in SYSTEM_FIELDS.items()
    }
    fields["stageId"]["statusType"] = f"DYNAMIC_{entity_type_id}_STAGE_{categories[0]}"
    return fields


def _fields(handover: Handover) -> dict[str, Record]:
    """Every field of a hand-over's elements."""
    fields = _system_fields(handover.entity_type_id, handover.categories)
    kinds = {
        "score": handover.score if handover.score in ("integer", "string") else "enumeration",
        "comment": "string",
        "rater": "employee",
        "ratee": "employee",
        "task": "integer",
        "period": "date",
        "reason": "enumeration",
    }
    for role, name in roles_of(handover).items():
        if name == "assignedById":
            continue
        title = ROLE_TITLES[role]
        fields[name] = _own_field(kinds[role], title, _upper_name(handover, role), is_required=role == "score")
    _describe_options(handover, fields)
    return fields


def _describe_options(handover: Handover, fields: dict[str, Record]) -> None:
    """Enumerations list their options, with ids as strings although elements hold integers."""
    roles = roles_of(handover)
    texts = {"numbered": NUMBERED, "worded": WORDED}.get(handover.score)
    if texts:
        options = _options(handover)
        fields[roles["score"]]["items"] = [{"ID": str(options[s]), "VALUE": text} for s, text in texts.items()]
    if handover.reason:
        fields[roles["reason"]]["items"] = [
            {"ID": str(number), "VALUE": phrases.REASONS[code]} for code, number in _reason_options(handover).items()
        ]


def _statuses(entity_type_id: int, categories: tuple[int, ...]) -> list[Record]:
    """Rows of `crm.status.list` for every funnel."""
    rows: list[Record] = []
    for category in categories:
        for place, (code, name, semantics, word) in enumerate(STAGES, start=1):
            rows.append(
                {
                    "ID": str(category * 10 + place),
                    "ENTITY_ID": f"DYNAMIC_{entity_type_id}_STAGE_{category}",
                    "STATUS_ID": f"DT{entity_type_id}_{category}:{code}",
                    "NAME": name,
                    "NAME_INIT": "",
                    "SORT": str(place * 10),
                    "SYSTEM": "Y" if code in ("NEW", "SUCCESS", "FAIL") else "N",
                    "CATEGORY_ID": str(category),
                    "COLOR": "#22B9FF",
                    "SEMANTICS": semantics,
                    "EXTRA": {"SEMANTICS": word, "COLOR": "#22B9FF"},
                }
            )
    return rows


def _categories(entity_type_id: int, categories: tuple[int, ...]) -> list[Record]:
    return [
        {
            "id": category,
            "name": "Общая" if place == 0 else "Срочные",
            "sort": 100 * (place + 1),
            "entityTypeId": entity_type_id,
            "isDefault": "N" if place else "Y",
            "originId": "",
            "originatorId": "",
        }
        for place, category in enumerate(categories)
    ]


def _process(handover: Handover) -> SmartProcess:
    """A smart process without elements."""
    return SmartProcess(
        entity_type_id=handover.entity_type_id,
        type_id=handover.type_id,
        title=handover.title,
        fields=_fields(handover),
        categories=_categories(handover.entity_type_id, handover.categories),
        statuses=_statuses(handover.entity_type_id, handover.categories),
    )


def first_number(company: Company) -> int:
    """What the ids of elements start after."""
    return LONG_ITEM if company.long_ids else 0


def gap(chance: Chance) -> int:
    """How far the next id of an element is: now and then there was one that is deleted."""
    return 2 if chance.random() < 0.1 else 1


def _fill(state: PortalState, company: Company, handover: Handover, ratings: Iterable[Rating]) -> None:
    """Makes the elements of a process; ids rise with time."""
    chance = company.chance(f"items:{handover.key}")
    number, items = first_number(company), state.processes[handover.entity_type_id].items
    for rating in ratings:
        number += gap(chance)
        items[number] = item_record(company, rating, number, chance)
        for event in rating.events:
            state.planted.setdefault(event, []).append((handover.key, number))


def _element(entity_type_id: int, category: int, number: int, author: int, created: str, stage: str) -> Record:
    """What every element has, as `crm.item.list` returns it."""
    prefix = f"DT{entity_type_id}_{category}:"
    day = f"{created[:10]}T03:00:00+03:00"
    return {
        "id": number,
        "xmlId": "",
        "title": "",
        "createdBy": author,
        "updatedBy": author,
        "movedBy": author,
        "createdTime": created,
        "updatedTime": created,
        "movedTime": created,
        "categoryId": category,
        "opened": "Y",
        "stageId": prefix + stage,
        "previousStageId": prefix + "NEW",
        "begindate": day,
        "closedate": day,
        "companyId": 0,
        "contactId": 0,
        "contactIds": [],
        "observers": [],
        "opportunity": 0,
        "currencyId": "RUB",
        "isManualOpportunity": "N",
        "sourceId": "",
        "sourceDescription": "",
        "webformId": 0,
        "assignedById": author,
        "lastActivityBy": author,
        "lastActivityTime": created,
        "lastCommunicationTime": None,
        "parentId2": None,
        "utmSource": None,
        "entityTypeId": entity_type_id,
    }


def item_record(company: Company, rating: Rating, number: int, chance: Chance) -> Record:
    """An element as `crm.item.list` returns it."""
    handover = rating.handover
    category = chance.choice(handover.categories)
    created = company.stamp(rating.created)
    updated = company.stamp(rating.updated or rating.created)
    # Robots create most elements for the rater; the others are made by hand in the portal.
    author = rating.rater if rating.rater and chance.random() < 0.4 else _webhook_user(company)
    by_hand = rating.updated is not None and "edit" in rating.events
    item = _element(handover.entity_type_id, category, number, author, created, rating.stage)
    item |= {
        "title": f"Оценка #{number}",
        "updatedBy": rating.rater if by_hand else (author if rating.updated is None else 0),
        "updatedTime": updated,
        "assignedById": rating.rater or _webhook_user(company),
    }
    item |= role_values(rating, chance)
    return item


def role_values(rating: Rating, chance: Chance) -> Record:
    """What the fields of a rating hold, by REST name."""
    handover = rating.handover
    values = {
        "score": _raw_score(rating, chance),
        "comment": rating.comment,
        "rater": rating.rater or chance.choice((0, None)),
        "ratee": rating.ratee or (0 if handover.system_ratee else chance.choice((0, None))),
        "task": rating.task or None,
        "period": f"{rating.period.isoformat()}T03:00:00+03:00",
        "reason": _raw_reason(rating, chance),
    }
    return {name: values[role] for role, name in roles_of(handover).items()}


def _raw_score(rating: Rating, chance: Chance) -> int | str | None:
    """A score the way its field holds it."""
    if rating.raw_score is not None:
        value: int | str | None = rating.raw_score[0]
        return value
    if rating.handover.score == "integer":
        return rating.score
    if rating.handover.score == "string":
        return chance.choice(("{}", "{}", "Оценка: {}", "{} баллов" if rating.score == 5 else "на {}")).format(
            rating.score
        )
    return _options(rating.handover)[rating.score]


def _raw_reason(rating: Rating, chance: Chance) -> int | None:
    """Most people pick a reason from the list when the score is below five."""
    if rating.score == 5 or chance.random() < 0.15:
        return None
    return _reason_options(rating.handover)[rating.reason]


# Decisions

DECISIONS, DECISIONS_TYPE, DECISIONS_FUNNEL = 1080, 23, 66
LONG_DECISION = 1_000_000
"""How far ids of decisions are from those of ratings where ids are long: a search must tell them apart."""
OUTCOMES = {"Принято": 2304, "Отклонено": 2301, "Отложено": 2307}
"""Options of the decision, with their ids."""
DECISION_FIELDS = {
    "ratee": ("ufCrm23Ratee", "UF_CRM_23_RATEE", "employee", "Сотрудник"),
    "period": ("ufCrm23Period", "UF_CRM_23_PERIOD", "date", "Последний месяц полугодия"),
    "decision": ("ufCrm23Decision", "UF_CRM_23_DECISION", "enumeration", "Решение"),
    "reason": ("ufCrm23Reason", "UF_CRM_23_REASON", "string", "Причина решения"),
}
MADE = (
    (0, "Отложено", "Ждём отчёта за последний месяц, данных пока мало"),
    (0, "Принято", "Полгода постановки полные, с макетами и сроками"),
    (1, "Принято", "Меньше возвратов, чем у коллег, на вопросы отвечает сразу"),
    (2, "Отклонено", "Оценки снижены из-за смены системы, задачи при этом поставлены верно"),
    (3, "Отложено", "Переходит в другой отдел, решим после приёмки дел"),
    (4, "Отклонено", "так решили"),
)
"""What the committee made of recommendations, in the order of time: the place of the ratee among those with the most
ratings, the decision, why. The second replaces the first; the last says no reason."""


def decision_process() -> SmartProcess:
    """The smart process of decisions, without elements."""
    fields = _system_fields(DECISIONS, (DECISIONS_FUNNEL,))
    for name, upper, kind, title in DECISION_FIELDS.values():
        fields[name] = _own_field(kind, title, upper, is_required=True)
    options = [{"ID": str(number), "VALUE": text} for text, number in OUTCOMES.items()]
    fields[DECISION_FIELDS["decision"][0]]["items"] = options
    return SmartProcess(
        entity_type_id=DECISIONS,
        type_id=DECISIONS_TYPE,
        title="Решения по рекомендациям",
        fields=fields,
        categories=_categories(DECISIONS, (DECISIONS_FUNNEL,)),
        statuses=_statuses(DECISIONS, (DECISIONS_FUNNEL,)),
    )


def decision_config() -> Record:
    """What a configuration says of it."""
    names = {role: name for role, (name, *_) in DECISION_FIELDS.items()}
    return {"entity_type_id": DECISIONS, "fields": names | {"decided_by": "createdBy"}}


def _decide(state: PortalState, company: Company) -> None:
    """Adds the smart process in which a committee decides on the recommendations of the last whole month."""
    process = state.processes[DECISIONS] = decision_process()
    state.config["decisions"] = decision_config()
    names = state.config["decisions"]["fields"]
    last = shift(company.now.date(), -1)
    seen_by_name = {entry["process"] for entry in state.config["policies"] if entry["mode"] in ("open", "named_to_hr")}
    rated = Counter(
        rating.ratee
        for rating in company.ratings
        if rating.handover.key in seen_by_name and shift(last, -5) <= rating.period <= last
    )
    ratees = sorted((person for person in rated if person in company.people), key=lambda ratee: (-rated[ratee], ratee))
    author = next(person.id for person in company.people.values() if person.department == PEOPLE and not person.left)
    for place, (rank, outcome, reason) in enumerate(MADE):
        # One id is missing, as everywhere: the committee threw its first attempt away.
        number = first_number(company) + (LONG_DECISION if company.long_ids else 0) + place + 2
        made = company.stamp(company.now - timedelta(hours=len(MADE) - place))
        item = _element(DECISIONS, DECISIONS_FUNNEL, number, author, made, "SUCCESS")
        item |= {
            "title": f"Решение #{number}",
            names["ratee"]: ratees[rank],
            names["period"]: f"{last.isoformat()}T03:00:00+03:00",
            names["decision"]: OUTCOMES[outcome],
            names["reason"]: reason,
        }
        process.items[number] = item


# Configuration


def _config(company: Company) -> Record:
    """The estafeta.yaml that fits the portal, apart from where the warehouse and the vault are."""
    return {
        "portal": {"name": "main", "timezone": "Europe/Moscow"},
        "processes": [_process_config(h) for h in company.handovers],
        "policies": _policies(company),
        "release": {"profile": "default", "freeze_day": FREEZE_DAY},
    }


def _process_config(handover: Handover) -> Record:
    entry: Record = {
        "key": handover.key,
        "title": handover.title,
        "entity_type_id": handover.entity_type_id,
        "cadence": handover.cadence,
        "fields": dict(roles_of(handover)),
    }
    if handover.score == "worded":
        entry["score_values"] = {text: score for score, text in WORDED.items()}
    if handover.counted_stages:
        entry["counted_stages"] = list(handover.counted_stages)
    entry["comment_required_below"] = 5
    if handover.directed:
        entry["setter_departments"] = [handover.setters]
        entry["executor_departments"] = [handover.executors]
    if handover.measured:
        entry["tasks"] = {"group_id": handover.group_id}
        if handover.min_tasks > 1:
            entry["tasks"]["min_tasks"] = handover.min_tasks
    return entry


def _policies(company: Company) -> list[Record]:
    """All five modes; two pairs of departments apart from their process, and one rule that changed half a year ago.

    `contracts_back` has no entry on purpose: without one, the mode is aggregate.
    """
    if len(company.handovers) < len(HANDOVERS):
        return [
            _policy("production", "open"),
            _policy("production_back", "named_to_hr"),
            _policy("logistics", "aggregate"),
        ]
    changed = company.months[len(company.months) // 2].isoformat()
    return [
        _policy("production", "pseudonymous"),
        _policy("production_back", "named_to_hr"),
        _policy("salary", "open"),
        _policy("salary_back", "aggregate"),
        _policy("salary_back", "open", valid_from=changed),
        _policy("contracts", "aggregate"),
        _policy("site", "department_only"),
        _policy("site_back", "aggregate"),
        _policy("site_back", "named_to_hr", pair=(MARKETING, DEVELOPMENT)),
        _policy("logistics", "named_to_hr"),
        _policy("logistics", "open", pair=(LOGISTICS, DESIGN)),
        _policy("support", "open"),
    ]


def _policy(process: str, mode: str, *, valid_from: str = "2020-01-01", pair: tuple[int, int] | None = None) -> Record:
    rater, ratee = pair or ("*", "*")
    return {
        "process": process,
        "rater_department": rater,
        "ratee_department": ratee,
        "valid_from": valid_from,
        "mode": mode,
    }
