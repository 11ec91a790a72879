"""A company on its way through time: what it was at a start moment, and everything that happens to it afterwards.

Belongs here: when people come, move and go, when tasks and ratings appear, who changes or deletes a rating later, and
playing all of it into a portal. Does not belong here: how people work and score (`company.py`), what a warehouse must
make of it (`truth.py`).

`company.generate` shows a company as it stands at the end; a chronicle tells the same kind of company as a story, which
a pipeline can watch run by run. Everything is dated with its own moment, whatever the portal's clock shows meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from random import Random
from typing import Literal

from sources.stand_in import company as firm
from sources.stand_in import phrases
from sources.stand_in.admin import Admin
from sources.stand_in.company import FREEZE_DAY, Company, Person, Rating, Scale
from sources.stand_in.limits import Clock
from sources.stand_in.state import MOSCOW, PortalState, Record

Change = Callable[[Admin], object]

PeopleKind = Literal[
    "left", "joined", "moved", "away", "rehired", "appeared", "vanished", "merged", "renamed", "new_head"
]


@dataclass(frozen=True)
class PeopleEvent:
    """Something that happens to a person or a department.

    Attributes:
        moment: when.
        kind: what; `away` comes before `rehired`, `appeared` and `vanished` are about what `user.get` shows.
        id: the employee, or for `merged`, `renamed` and `new_head` the department.
    """

    moment: datetime
    kind: PeopleKind
    id: int


@dataclass(frozen=True)
class _Script:
    """How much of everything happens; fractions are places in the time from start to end."""

    leavers: tuple[float, ...]
    joiners: tuple[float, ...]
    movers: tuple[tuple[float, ...], ...]
    """Moves of each mover."""
    mid_month: frozenset[float]
    """The moves that do not wait for the first of a month."""
    merge: tuple[int, int]
    """The department that ends, and the one that takes its people."""
    rename: tuple[int, str]
    head: int
    edits: float
    pressure: int
    deletes: float
    restores: int
    month_moves: int


YEAR = _Script(
    leavers=(0.12, 0.2, 0.28, 0.36, 0.45, 0.55, 0.65, 0.8),
    joiners=(0.15, 0.3, 0.42, 0.52, 0.7, 0.85),
    movers=((0.18,), (0.33, 0.58), (0.5,), (0.62,), (0.74,), (0.88,)),
    mid_month=frozenset({0.62}),
    merge=(firm.LAYOUT, firm.DESIGN),
    rename=(firm.SUPPORT, "Клиентский сервис"),
    head=firm.LAW,
    edits=0.03,
    pressure=5,
    deletes=0.007,
    restores=2,
    month_moves=2,
)
SHORT = _Script(
    leavers=(0.3,),
    joiners=(0.4,),
    movers=((0.45, 0.85),),
    mid_month=frozenset({0.85}),
    merge=(firm.LOGISTICS, firm.PRODUCTION),
    rename=(firm.ACCOUNTS, "Клиентский отдел"),
    head=firm.PRODUCTION,
    edits=0.1,
    pressure=1,
    deletes=0.04,
    restores=1,
    month_moves=1,
)
RENAME, NEW_HEAD, MERGE, VANISH, APPEAR = 0.35, 0.47, 0.6, 0.75, 0.4
AWAY, BACK = 0.22, 0.66
LONG = 3
"""More months than these are a long story."""
IMPORT_DELAY = timedelta(days=20)


@dataclass(frozen=True)
class _Event:
    moment: datetime
    change: Change


class Chronicle:
    """A company that moves on when it is told to.

    Attributes:
        state: the portal as it is by now; at first as of the start.
        people_events: what happens to people and departments over the whole time, in order.
    """

    def __init__(self, state: PortalState, events: Sequence[_Event], people_events: tuple[PeopleEvent, ...]) -> None:
        self.state = state
        self.people_events = people_events
        self._events = deque(events)

    def advance(self, admin: Admin, until: datetime) -> int:
        """Lets everything happen up to a moment, and sets the portal's clock to it.

        Args:
            admin: the side of a portal that serves `state`.
            until: the moment, aware; past the end of the chronicle nothing happens any more.

        Returns:
            How many events there were.

        Raises:
            ValueError: the admin changes another portal, or the moment is one that has passed.
        """
        if admin.state is not self.state:
            raise ValueError("this admin side changes another portal than the chronicle's; start it on chronicle.state")
        if until < self.state.now:
            raise ValueError(f"the chronicle has come to {self.state.now.isoformat()}; it cannot go back")
        count = 0
        while self._events and self._events[0].moment <= until:
            self._events.popleft().change(admin)
            count += 1
        self.state.now = until.astimezone(self.state.timezone).replace(microsecond=0)
        admin.set_clock(self.state.now)
        return count


def chronicle(seed: int, scale: Scale, start: datetime, end: datetime) -> Chronicle:
    """Tells the story of a company from one moment to another.

    Args:
        seed: what chance starts from.
        scale: how large the company is.
        start: what happened up to here is in the state from the beginning; its month is the first with ratings.
        end: nothing happens later.

    Returns:
        The chronicle, at its start. The same arguments always tell the same story.

    Raises:
        ValueError: the end is not later than the start, or one of them lacks an offset.
    """
    if start.tzinfo is None or end.tzinfo is None or start >= end:
        raise ValueError("a chronicle needs a start and a later end, both with an offset")
    return _Story(seed, scale, _portal_time(start), _portal_time(end)).chronicle()


def _portal_time(moment: datetime) -> datetime:
    return moment.astimezone(MOSCOW).replace(microsecond=0)


class _Story:
    """Plans everything that will happen, then hands it over as a chronicle."""

    def __init__(self, seed: int, scale: Scale, start: datetime, end: datetime) -> None:
        self.start, self.end = start, end
        self.scale = scale
        self.script = SHORT if scale == "tiny" else YEAR
        self.company = firm.found(
            seed,
            scale,
            end,
            _months(start.date(), end.date()),
            dismissed=len(self.script.leavers),
            joiners=len(self.script.joiners),
        )
        self.chance = self.company.chance("chronicle")
        self.events: list[_Event] = []
        self.people_events: list[PeopleEvent] = []
        self.staff = list(self.company.people.values())
        self.taken = self._needed_where_they_are()
        self.late_visible: set[int] = set()

    def chronicle(self) -> Chronicle:
        """Plans people before their work: who is away does not rate."""
        self._leavers()
        self._joiners()
        # Those who have to be in a certain department are drawn before those who may be from any.
        self._seen_and_unseen()
        self._departments()
        self._movers()
        self._rehired()
        firm.live(self.company, self.scale)
        firm.touch(self.company)
        state = self._opening()
        self.events += _task_events(self.company)
        self.events += _RatingHistory(self.company, self.script).events()
        # A sort that is stable keeps what happens in the same second in the order of its planning.
        told = sorted((e for e in self.events if e.moment <= self.end), key=lambda e: e.moment)
        people = sorted((e for e in self.people_events if e.moment <= self.end), key=lambda e: e.moment)
        story = Chronicle(state, told, tuple(people))
        state.now = min([self.start, *(e.moment for e in told)])
        story.advance(Admin(state, Clock(self.start, state.timezone), state.webhook_user), self.start)
        return story

    def _opening(self) -> PortalState:
        """The portal before the first event: departments, and everybody who has an account by then."""
        before = replace(self.company, now=self.start)
        state = firm.empty_portal(before)
        # Account rows know when somebody was last seen: nobody has left yet.
        joined = {e.id: e.moment for e in self.people_events if e.kind == "joined"}
        for number, row in firm.user_rows(before).items():
            person = self.company.people.get(number)
            if person is not None:
                row |= {"ACTIVE": True, "UF_DEPARTMENT": list(person.departments)}
            if number in joined:
                arrival = self.company.stamp(joined[number])
                self._add(joined[number], _show(row | {"LAST_LOGIN": arrival, "DATE_REGISTER": arrival}))
            elif number in self.late_visible:
                self._add(next(e.moment for e in self.people_events if e.kind == "appeared"), _show(row))
            else:
                state.users[number] = row
        return state

    # When

    def _when(self, place: float, *, mid_month: bool = False) -> tuple[datetime, int]:
        """A moment at that place between start and end, and the first whole month (index) after it.

        In a long story most changes wait for the morning of a month's first working day, before anybody sets a task.
        """
        moment = self.start + place * (self.end - self.start)
        month = moment.date().replace(day=1)
        index = _index(self.company, month)
        first_day = firm.at(firm.workdays(month, 1)[0], time(8, 30))
        if not mid_month and len(self.company.months) > LONG and self.start < first_day:
            return first_day, index
        return moment.replace(hour=11, minute=self.chance.randrange(60), second=0, microsecond=0), index + 1

    def _add(self, moment: datetime, change: Change) -> None:
        self.events.append(_Event(moment, change))

    def _happens(self, moment: datetime, kind: PeopleKind, number: int, change: Change) -> None:
        self.people_events.append(PeopleEvent(moment, kind, number))
        self._add(moment, change)

    # Who

    def _needed_where_they_are(self) -> set[int]:
        """Heads, people with two departments, and those on top of the headcount."""
        extra = len(self.script.leavers) + len(self.script.joiners)
        heads = {int(row.get("UF_HEAD", 0)) for row in firm.empty_portal(self.company).departments.values()}
        double = {p.id for p in self.staff if len(p.departments) > 1}
        return heads | double | {p.id for p in self.staff[-extra:]}

    def _draw(self, department: int | None = None) -> Person:
        """Somebody to whom nothing has happened yet."""
        inside = self.company.below(department) if department else None
        person = self.chance.choice(
            [p for p in self.staff if p.id not in self.taken and (inside is None or p.department in inside)]
        )
        self.taken.add(person.id)
        return person

    def _elsewhere(self, here: int) -> int:
        """Another department with people, one that will not end."""
        ends, _ = self.script.merge
        return self.chance.choice([d.id for d in self.company.departments if d.headcount and d.id not in (here, ends)])

    # What

    def _leavers(self) -> None:
        first = len(self.staff) - len(self.script.leavers) - len(self.script.joiners)
        for number, place in enumerate(self.script.leavers):
            person = self.staff[first + number]
            moment, month = self._when(place)
            person.last_month, person.left, person.departments = month - 1, moment, [person.department]
            self._happens(moment, "left", person.id, _leave(person.id, is_emptied=number % 2 == 1))

    def _joiners(self) -> None:
        for person, place in zip(self.staff[-len(self.script.joiners) :], self.script.joiners, strict=True):
            moment, month = self._when(place)
            ends, stays = self.script.merge
            person.department = stays if person.department == ends else person.department
            person.departments = [person.department]
            person.career = [(-1, 0), (month, person.department)]
            self.people_events.append(PeopleEvent(moment, "joined", person.id))

    def _movers(self) -> None:
        for places in self.script.movers:
            person = self._draw()
            here = person.department
            for place in places:
                moment, month = self._when(place, mid_month=place in self.script.mid_month)
                there = self._elsewhere(here)
                person.career.append((month, there))
                self._happens(moment, "moved", person.id, _change_user(person.id, UF_DEPARTMENT=[there]))
                here = there

    def _rehired(self) -> None:
        person = self._draw()
        gone, gone_month = self._when(AWAY)
        back, back_month = self._when(BACK)
        there = self._elsewhere(person.department)
        person.career = [(gone_month, 0), (back_month, there)]
        self._happens(gone, "away", person.id, _change_user(person.id, ACTIVE=False))
        self._happens(back, "rehired", person.id, _change_user(person.id, ACTIVE=True, UF_DEPARTMENT=[there]))

    def _seen_and_unseen(self) -> None:
        late = self._draw(firm.PRODUCTION)
        self.late_visible.add(late.id)
        self.people_events.append(PeopleEvent(self._when(APPEAR)[0], "appeared", late.id))
        lost = self._draw(firm.PRODUCTION)
        self._happens(self._when(VANISH)[0], "vanished", lost.id, lambda admin: admin.put_user(lost.id, None))

    def _departments(self) -> None:
        number, name = self.script.rename
        self._happens(self._when(RENAME)[0], "renamed", number, _change_department(number, NAME=name))
        head = self._draw(self.script.head)
        self._happens(
            self._when(NEW_HEAD)[0],
            "new_head",
            self.script.head,
            _change_department(self.script.head, UF_HEAD=str(head.id)),
        )
        ends, stays = self.script.merge
        self._happens(self._when(MERGE, mid_month=True)[0], "merged", ends, _merge(ends, stays))


def _months(first: date, last: date) -> list[date]:
    months = [first.replace(day=1)]
    while firm.shift(months[-1], 1) <= last:
        months.append(firm.shift(months[-1], 1))
    return months


def _index(company: Company, month: date) -> int:
    first = company.months[0]
    return (month.year - first.year) * 12 + month.month - first.month


# Changes to people and departments


def _show(row: Record) -> Change:
    return lambda admin: admin.put_user(int(row["ID"]), row)


def _change_user(number: int, **values: object) -> Change:
    def change(admin: Admin) -> None:
        # Whoever is not shown has no row to change.
        if number in admin.state.users:
            admin.put_user(number, admin.state.users[number] | values)

    return change


def _leave(number: int, *, is_emptied: bool) -> Change:
    return _change_user(number, ACTIVE=False, **({"UF_DEPARTMENT": []} if is_emptied else {}))


def _change_department(number: int, **values: object) -> Change:
    return lambda admin: admin.put_department(number, admin.state.departments[number] | values)


def _merge(ends: int, stays: int) -> Change:
    """Moves everybody who still works there, then takes the department away; the dismissed keep what is gone."""

    def change(admin: Admin) -> None:
        for number, row in list(admin.state.users.items()):
            if row["ACTIVE"] and ends in row["UF_DEPARTMENT"]:
                places = dict.fromkeys(stays if place == ends else place for place in row["UF_DEPARTMENT"])
                admin.put_user(number, row | {"UF_DEPARTMENT": list(places)})
        admin.put_department(ends, None)

    return change


# Tasks


def _task_events(company: Company) -> list[_Event]:
    """A task is set, then it is closed."""
    events = []
    for number, row in company.tasks.items():
        created, closed = row["createdDate"], row["closedDate"]
        opened = row | {
            "status": "2",
            "changedBy": row["createdBy"],
            "changedDate": created,
            "statusChangedBy": row["createdBy"],
            "statusChangedDate": created,
            "closedBy": "0",
            "closedDate": None,
            "activityDate": created,
            "deadline": None,
        }
        events.append(_Event(datetime.fromisoformat(created), partial(Admin.put_task, id=number, row=opened)))
        if closed is not None:
            due = row["deadline"] if row["deadline"] is not None and row["deadline"] <= closed else None
            done = row | {"deadline": due}
            events.append(_Event(datetime.fromisoformat(closed), partial(Admin.put_task, id=number, row=done)))
    return events


# Ratings


@dataclass
class _Life:
    """A rating from its first to its last form.

    Attributes:
        last: as it stands in the end.
        first: as it was given; the same object unless it is edited.
        appears: when it comes into the portal, dated by itself.
        edited: when the first form becomes the last.
        deleted, restored: when.
        kind: what is written down about it.
        number: the id it got.
    """

    last: Rating
    first: Rating
    appears: datetime
    edited: datetime | None = None
    deleted: datetime | None = None
    restored: datetime | None = None
    kind: str = ""
    number: int = 0


class _RatingHistory:
    """Decides what happens to ratings after they are given; each has one fate."""

    def __init__(self, company: Company, script: _Script) -> None:
        self.company = company
        self.script = script
        self.chance = company.chance("history")
        for rating in company.ratings:
            self._forget_edit(rating)
        self.lives = [_Life(r, r, r.created) for r in sorted(company.ratings, key=lambda r: r.created)]
        plain = [life for life in self.lives if not _is_odd(life.last)]
        self.chance.shuffle(plain)
        self.deck = plain
        self.chances = {h.key: company.chance(f"items:{h.key}") for h in company.handovers}
        self.numbers = {h.key: firm.first_number(company) for h in company.handovers}

    @staticmethod
    def _forget_edit(rating: Rating) -> None:
        """The snapshot's edits have no first form; here edits are planned anew."""
        if "edit" in rating.events:
            rating.events.discard("edit")
            rating.updated = None

    def events(self) -> list[_Event]:
        """Everything that happens to ratings."""
        for _ in range(self.script.month_moves):
            self._move_month()
        for _ in range(self.script.pressure):
            self._press()
        self._import()
        for number in range(round(self.script.edits * len(self.lives))):
            self._edit(CYCLE[number % len(CYCLE)], is_late=number % 3 == 2)
        deletes = max(self.script.restores + 1, round(self.script.deletes * len(self.lives)))
        for number in range(deletes):
            self._delete(is_low=number % 2 == 0, is_restored=number < self.script.restores)
        return [event for life in self.lives for event in self._played(life)]

    # Fates

    def _take(self, fits: Callable[[_Life], bool]) -> _Life | None:
        """A rating that nothing else happens to; a small company may have none that fits."""
        for place, life in enumerate(self.deck):
            if fits(life):
                return self.deck.pop(place)
        return None

    def _later(self, life: _Life, *, is_late: bool, delay: timedelta) -> datetime | None:
        """When a rating is edited: some days on, or after its month was frozen; None when that is past the end."""
        since = life.last.created + delay
        if is_late:
            since = max(since, _freeze(life.last.period))
        moment = firm.office(self.chance, since + timedelta(days=0.1 + self.chance.lognormvariate(1.0, 0.8)))
        return moment if moment <= self.company.now else None

    def _take_dated(
        self, fits: Callable[[_Life], bool], *, is_late: bool = False, delay: timedelta = timedelta(0)
    ) -> tuple[_Life, datetime] | None:
        """A rating that fits and can still be edited before the end, and when that happens."""
        moments: list[datetime] = []

        def is_editable(life: _Life) -> bool:
            moment = self._later(life, is_late=is_late, delay=delay) if fits(life) else None
            moments.extend([moment] if moment is not None else [])
            return moment is not None

        life = self._take(is_editable)
        return None if life is None else (life, moments[-1])

    def _edit(self, kind: str, *, is_late: bool) -> None:
        fits, make = EDITS[kind]
        found = self._take_dated(lambda life: fits(life.last), is_late=is_late)
        if found is not None:
            life, moment = found
            life.edited = moment
            life.first, life.kind = make(life.last, self.company, self.chance), f"edit_{kind}"

    def _press(self) -> None:
        """A three becomes a five after the ratee has seen it."""
        found = self._take_dated(lambda life: life.last.score == 5)
        if found is not None:
            life, moment = found
            life.edited = moment
            life.first, life.kind = _lowered(life.last, 3, self.chance), "pressure_edit"

    def _move_month(self) -> None:
        """A monthly rating is put right: first it stood in the month it was given in, or in the one before."""
        since = self.company.months[0]
        # Long enough for a monthly run to see it where it stood first.
        found = self._take_dated(
            lambda life: life.last.handover.cadence == "month" and life.last.period > since,
            delay=timedelta(days=32 if len(self.company.months) > LONG else 5),
        )
        if found is not None:
            life, moment = found
            life.edited = moment
            given = _month(life.last.created)
            wrong = given if given > life.last.period else firm.shift(given, -1)
            life.first, life.kind = replace(life.last, period=wrong), "month_moved"

    def _import(self) -> None:
        """An administrator imports a rating that was given elsewhere, with its old dates."""
        life = self._take(
            lambda life: (
                life.last.updated is None
                and life.last.handover.cadence == "task"
                and life.last.created + IMPORT_DELAY < self.company.now
                and life.last.created.date() > self.company.months[0]
            )
        )
        if life is not None:
            life.appears, life.kind = life.last.created + IMPORT_DELAY, "imported"

    def _delete(self, *, is_low: bool, is_restored: bool) -> None:
        def fits(life: _Life) -> bool:
            return (life.last.score < 5) == is_low and life.last.created + timedelta(days=20) < self.company.now

        life = self._take(fits)
        if life is None:
            return
        life.deleted = firm.office(self.chance, life.last.created + timedelta(days=self.chance.uniform(1, 10)))
        if is_restored:
            room = self.company.now - life.deleted
            life.restored = life.deleted + min(timedelta(days=self.chance.uniform(15, 40)), 0.9 * room)
            life.restored = life.restored.replace(microsecond=0)

    # Play

    def _played(self, life: _Life) -> list[_Event]:
        entity = life.last.handover.entity_type_id
        events = [_Event(life.appears, partial(self._give, life))]
        if life.last.updated is not None and life.edited is None:
            touched: Record = {"updatedTime": self.company.stamp(life.last.updated), "updatedBy": 0}
            events.append(_Event(life.last.updated, lambda admin: admin.edit_item(entity, life.number, touched)))
        if life.edited is not None:
            events.append(_Event(life.edited, partial(self._change, life)))
        if life.deleted is not None:
            events.append(_Event(life.deleted, partial(self._remove, life)))
        if life.restored is not None:
            events.append(_Event(life.restored, partial(self._bring_back, life)))
        return events

    def _give(self, life: _Life, admin: Admin) -> None:
        """The rating comes into the portal; whatever ids others have used meanwhile stay theirs."""
        handover = life.last.handover
        key, chance = handover.key, self.chances[handover.key]
        process = admin.state.processes[handover.entity_type_id]
        self.numbers[key] += firm.gap(chance)
        while self.numbers[key] in process.items or self.numbers[key] in process.deleted:
            self.numbers[key] += 1
        life.number = self.numbers[key]
        given = replace(life.first, updated=None)
        admin.put_item(handover.entity_type_id, firm.item_record(self.company, given, life.number, chance))
        for event in sorted(life.last.events):
            _write_down(admin, event, life)
        if life.kind == "imported":
            _write_down(admin, life.kind, life)

    def _remove(self, life: _Life, admin: Admin) -> None:
        admin.delete_item(life.last.handover.entity_type_id, life.number)
        _write_down(admin, "delete", life)

    def _bring_back(self, life: _Life, admin: Admin) -> None:
        admin.restore_item(life.last.handover.entity_type_id, life.number)
        _write_down(admin, "restore", life)

    def _change(self, life: _Life, admin: Admin) -> None:
        """The first form becomes the last, in exactly the fields that differ."""
        handover, moment = life.last.handover, self.company.stamp(life.edited or life.appears)
        names = firm.roles_of(handover)
        changed = _changed_roles(life.first, life.last)
        values = firm.role_values(life.last, self.chances[handover.key])
        fields: Record = {names[role]: values[names[role]] for role in changed if role in names}
        if life.first.stage != life.last.stage:
            row = admin.state.processes[handover.entity_type_id].items[life.number]
            prefix = str(row["stageId"]).rpartition(":")[0]
            fields |= {"stageId": f"{prefix}:{life.last.stage}", "movedTime": moment}
        fields |= {"updatedTime": moment, "updatedBy": life.last.rater}
        admin.edit_item(handover.entity_type_id, life.number, fields)
        _write_down(admin, life.kind, life)


def _write_down(admin: Admin, event: str, life: _Life) -> None:
    admin.state.planted.setdefault(event, []).append((life.last.handover.key, life.number))


def _is_odd(rating: Rating) -> bool:
    """Whether it is a planted case: those stay as they are."""
    return rating.stage != "SUCCESS" or any(not event.startswith(("comment_", "reason_")) for event in rating.events)


def _month(moment: datetime) -> date:
    return moment.date().replace(day=1)


def _freeze(period: date) -> datetime:
    return firm.at(firm.shift(period, 1).replace(day=FREEZE_DAY), time(0))


def _changed_roles(first: Rating, last: Rating) -> list[str]:
    roles = [role for role in firm.ROLES if getattr(first, role) != getattr(last, role)]
    # The reason is asked for below five only: with the score it comes or goes.
    return [*roles, "reason"] if (first.score == 5) != (last.score == 5) else roles


# First forms: what a rating was before it was edited into what it is


def _lowered(rating: Rating, score: int, chance: Random) -> Rating:
    reason = chance.choice(list(phrases.REASONS))
    return replace(rating, score=score, reason=reason, comment=chance.choice(phrases.VAGUE_TEXTS))


def _other_score(rating: Rating, _: Company, chance: Random) -> Rating:
    if rating.score == 5:
        return _lowered(rating, chance.choice((3, 4)), chance)
    return replace(rating, score=chance.choice([s for s in (2, 3, 4) if s != rating.score]))


def _junk_comment(rating: Rating, _: Company, chance: Random) -> Rating:
    return replace(rating, comment=chance.choice([text for text in phrases.JUNK_TEXTS if text != rating.comment]))


def _other_reason(rating: Rating, _: Company, chance: Random) -> Rating:
    return replace(rating, reason=chance.choice([code for code in phrases.REASONS if code != rating.reason]))


def _earlier_stage(rating: Rating, _: Company, chance: Random) -> Rating:
    return replace(rating, stage=chance.choice(("PREPARATION", "CLIENT")))


def _no_task(rating: Rating, _: Company, __: Random) -> Rating:
    return replace(rating, task=0)


def _other_person(role: Literal["rater", "ratee"]) -> Callable[[Rating, Company, Random], Rating]:
    def make(rating: Rating, company: Company, chance: Random) -> Rating:
        wrong = company.people[rating.ratee if role == "ratee" else rating.rater]
        month = _index(company, _month(rating.created))
        colleagues = company.pool(wrong.place(month) or wrong.department, month)
        others = [p.id for p in colleagues if p.id not in (rating.rater, rating.ratee)]
        other = chance.choice(others) if others else 0
        return replace(rating, ratee=other) if role == "ratee" else replace(rating, rater=other)

    return make


EDITS: dict[str, tuple[Callable[[Rating], bool], Callable[[Rating, Company, Random], Rating]]] = {
    "score": (lambda _: True, _other_score),
    "comment": (lambda r: r.score < 5, _junk_comment),
    "reason": (lambda r: r.score < 5 and r.handover.reason, _other_reason),
    "stage": (lambda _: True, _earlier_stage),
    "ratee": (lambda _: True, _other_person("ratee")),
    "rater": (lambda r: not r.handover.system_ratee, _other_person("rater")),
    "task": (lambda r: r.task > 0, _no_task),
}
"""What is edited: which ratings it fits, and their first form."""
CYCLE = ("score", "comment", "ratee", "score", "reason", "stage", "score", "comment", "task", "score", "rater")
