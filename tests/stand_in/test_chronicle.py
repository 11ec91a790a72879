"""The company on its way: everything happens in its time, dated by itself, and the same every time."""

from collections import Counter
from datetime import datetime, timedelta
from functools import cache

import pytest

from sources.stand_in.chronicle import Chronicle, chronicle
from sources.stand_in.company import generate
from sources.stand_in.limits import Clock
from sources.stand_in.server import Admin
from sources.stand_in.state import MOSCOW, PortalState
from sources.stand_in.truth import rating_truth, sight
from tests.stand_in.test_company import moments

YEAR_START, YEAR_END = datetime(2025, 12, 3, tzinfo=MOSCOW), datetime(2026, 11, 23, 14, 30, tzinfo=MOSCOW)
SHORT_START, SHORT_END = datetime(2026, 9, 2, tzinfo=MOSCOW), datetime(2026, 11, 20, 12, tzinfo=MOSCOW)


def admin_of(story: Chronicle) -> Admin:
    return Admin(story.state, Clock(story.state.now, MOSCOW))


def copy_of(story: Chronicle) -> PortalState:
    return sight(story.state, story.state.now).state


def short(seed: int = 1) -> Chronicle:
    return chronicle(seed, "tiny", SHORT_START, SHORT_END)


@cache
def year() -> tuple[Chronicle, list[PortalState]]:
    """A year of the demo company, with copies of what the portal held at the start and after each month."""
    story = chronicle(1, "demo", YEAR_START, YEAR_END)
    admin, copies = admin_of(story), [copy_of(story)]
    for month in range(1, 12):
        story.advance(admin, datetime(2026, month, 9, 3, tzinfo=MOSCOW))
        copies.append(copy_of(story))
    story.advance(admin, YEAR_END)
    return story, [*copies, copy_of(story)]


def records(state: PortalState) -> list[dict[str, object]]:
    items = [
        item for process in state.processes.values() for item in (*process.items.values(), *process.deleted.values())
    ]
    return [*state.users.values(), *state.tasks.values(), *items]


def ratings(state: PortalState) -> int:
    return sum(len(process.items) for process in state.processes.values())


def test_nothing_in_the_portal_is_later_than_the_moment_it_has_come_to() -> None:
    _, copies = year()
    judged: set[str] = set()
    for state in copies:
        values = [value for record in records(state) for value in record.values()]
        # What was not in the future then is not in the future now: each text is read once.
        fresh = {value for value in values if isinstance(value, str)} - judged
        nested = [value for value in values if value and isinstance(value, (list, dict))]
        assert max(moments([*fresh, *nested])) <= state.now
        judged |= fresh


def test_a_year_fills_the_portal_month_by_month() -> None:
    _, copies = year()
    counts = [ratings(state) for state in copies]
    assert counts == sorted(counts)
    assert counts[0] < 200
    assert 5000 <= counts[-1] <= 8000
    assert len(copies[0].tasks) < len(copies[-1].tasks)


def test_how_often_it_is_looked_at_changes_nothing() -> None:
    at_once, by_days = short(), short()
    at_once.advance(admin_of(at_once), SHORT_END)
    admin = admin_of(by_days)
    while by_days.state.now < SHORT_END:
        by_days.advance(admin, min(by_days.state.now + timedelta(days=5), SHORT_END))
    assert at_once.state == by_days.state


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    assert short().people_events == short().people_events
    assert short().state == short().state
    assert short(2).people_events != short().people_events


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_small_company_has_one_of_each_people_event(seed: int) -> None:
    kinds = [event.kind for event in short(seed).people_events]
    assert sorted(kinds) == sorted(
        ["left", "joined", "moved", "moved", "away", "rehired", "appeared", "vanished", "merged", "renamed", "new_head"]
    )


def test_a_year_has_the_people_events_it_should() -> None:
    story, copies = year()
    kinds: list[str] = [event.kind for event in story.people_events]
    assert Counter(kinds) == Counter(left=8, joined=6, moved=7, away=1, rehired=1) + Counter(
        appeared=1, vanished=1, merged=1, renamed=1, new_head=1
    )
    first, last = copies[0], copies[-1]
    ids = {kind: [event.id for event in story.people_events if event.kind == kind] for kind in set(kinds)}
    assert all(first.users[n]["ACTIVE"] and not last.users[n]["ACTIVE"] for n in ids["left"])
    assert {bool(last.users[n]["UF_DEPARTMENT"]) for n in ids["left"]} == {True, False}
    assert all(n not in first.users and n in last.users for n in ids["joined"] + ids["appeared"])
    assert all(first.users[n]["UF_DEPARTMENT"] != last.users[n]["UF_DEPARTMENT"] for n in set(ids["moved"]))
    assert len(set(ids["moved"])) == 6
    assert any(event.moment.day > 7 for event in story.people_events if event.kind == "moved")
    (again,) = ids["rehired"]
    assert last.users[again]["ACTIVE"]
    assert last.users[again]["UF_DEPARTMENT"] != first.users[again]["UF_DEPARTMENT"]
    assert any(not state.users[again]["ACTIVE"] for state in copies)
    assert ids["vanished"][0] in first.users
    assert ids["vanished"][0] not in last.users
    assert ids["merged"][0] not in last.departments
    assert not [u for u in last.users.values() if u["ACTIVE"] and ids["merged"][0] in u["UF_DEPARTMENT"]]
    for field, kind in (("NAME", "renamed"), ("UF_HEAD", "new_head")):
        (number,) = ids[kind]
        assert first.departments[number][field] != last.departments[number][field]


def test_nobody_is_rated_or_rates_before_they_come_and_nobody_rates_after_they_left() -> None:
    story, copies = year()
    rows = [row for row in rating_truth(copies[-1]) if row.exclusion_code != "wrong_direction"]
    seen = {kind: {e.id: e.moment.date() for e in story.people_events if e.kind == kind} for kind in ("joined", "left")}
    for row in rows:
        for person in (row.rater_id, row.ratee_id):
            assert row.rated_on >= seen["joined"].get(person, row.rated_on)
        assert row.rated_on <= seen["left"].get(row.rater_id, row.rated_on)
    assert any(row.rater_id in seen["joined"] for row in rows)


def test_somebody_rates_before_the_user_list_shows_them() -> None:
    story, copies = year()
    event = next(e for e in story.people_events if e.kind == "appeared")
    early = [row for row in rating_truth(copies[-1]) if row.rater_id == event.id and row.rated_on < event.moment.date()]
    assert early


def test_ratings_are_edited_deleted_restored_and_imported_in_the_usual_shares() -> None:
    _, copies = year()
    planted, last = copies[-1].planted, copies[-1]
    edits = sum(len(places) for event, places in planted.items() if event.startswith("edit_"))
    assert 0.025 < edits / ratings(last) < 0.035
    assert {event for event in planted if event.startswith("edit_")} == {
        f"edit_{kind}" for kind in ("score", "comment", "reason", "stage", "ratee", "rater", "task")
    }
    assert len(planted["pressure_edit"]) == 5
    assert len(planted["month_moved"]) == 2
    assert len(planted["imported"]) == 1
    assert len(planted["restore"]) == 2
    deleted = sum(len(process.deleted) for process in last.processes.values())
    assert deleted == len(planted["delete"]) - 2
    assert 0.005 < deleted / ratings(last) < 0.009


def test_a_restored_rating_is_back_with_its_old_updated_time() -> None:
    _, copies = year()
    entities = {entry["key"]: entry["entity_type_id"] for entry in copies[-1].config["processes"]}
    for key, number in copies[-1].planted["restore"]:
        assert number in copies[-1].processes[entities[key]].items
    gone = [
        (entities[key], number)
        for key, number in copies[-1].planted["restore"]
        for state in copies
        if number in state.processes[entities[key]].deleted
    ]
    for entity, number in gone:
        before = next(s.processes[entity].deleted[number] for s in copies if number in s.processes[entity].deleted)
        assert copies[-1].processes[entity].items[number] == before


def test_an_imported_rating_appears_with_dates_that_have_passed() -> None:
    _, copies = year()
    ((key, number),) = copies[-1].planted["imported"]
    entity = next(entry["entity_type_id"] for entry in copies[-1].config["processes"] if entry["key"] == key)
    before = [state for state in copies if number not in state.processes[entity].items]
    item = copies[-1].processes[entity].items[number]
    assert item["updatedTime"] == item["createdTime"]
    assert any(state.now > datetime.fromisoformat(item["createdTime"]) for state in before)


def test_a_monthly_rating_moves_to_another_month() -> None:
    _, copies = year()
    places = copies[-1].planted["month_moved"]
    seen = [{(row.process_key, row.rating_id): row.period for row in rating_truth(state)} for state in copies]
    assert any(len({periods[place] for periods in seen if place in periods}) == 2 for place in places)


def test_ids_others_have_used_meanwhile_stay_theirs() -> None:
    story = short()
    admin = admin_of(story)
    own = {entity: admin.insert_item(entity, {"title": "Чужой"}) for entity in story.state.processes}
    story.advance(admin, SHORT_END)
    for entity, number in own.items():
        assert story.state.processes[entity].items[number]["title"] == "Чужой"


def test_what_was_asked_wrongly_is_refused() -> None:
    story = short()
    with pytest.raises(ValueError, match="another portal"):
        story.advance(admin_of(short()), SHORT_END)
    with pytest.raises(ValueError, match="cannot go back"):
        story.advance(admin_of(story), SHORT_START - timedelta(days=1))
    with pytest.raises(ValueError, match="a later end"):
        chronicle(1, "tiny", SHORT_END, SHORT_START)
    with pytest.raises(ValueError, match="offset"):
        chronicle(1, "tiny", SHORT_START.replace(tzinfo=None), SHORT_END)


def test_colluders_sinkers_and_straight_liners_are_in_the_data_and_in_the_truth() -> None:
    state = generate(1, "demo", YEAR_END)
    scores: dict[tuple[int, int], list[int]] = {}
    for row in rating_truth(state):
        if row.score is not None and row.exclusion_code in ("", "unexplained"):
            scores.setdefault((row.rater_id, row.ratee_id), []).append(row.score)
    people = state.people
    both_ways = [*people.reciprocal_strong, *people.reciprocal_subtle]
    assert len(people.reciprocal_strong) == len(people.reciprocal_subtle) == 2
    for one, other in [*both_ways, *((b, a) for a, b in both_ways), *people.ring]:
        assert set(scores[one, other]) == {5}
    assert all(len(scores[a, b]) + len(scores[b, a]) >= 6 for a, b in both_ways)
    assert len({a for a, _ in people.ring} | {b for _, b in people.ring}) == 3
    for edge in people.sinkers:
        assert len(scores[edge]) >= 3
        assert sum(scores[edge]) / len(scores[edge]) < 3
    for rater in people.straight_liners:
        given = [score for (who, _), each in scores.items() if who == rater for score in each]
        assert len(given) >= 20
        assert set(given) == {5}
    ((rater, since),) = people.stricter.items()
    marks: dict[bool, list[int]] = {True: [], False: []}
    for row in rating_truth(state):
        if row.rater_id == rater and row.score:
            marks[row.period >= since].append(row.score)
    assert sum(marks[True]) / len(marks[True]) < sum(marks[False]) / len(marks[False])
    assert set(people.quality) == set(people.severity) <= set(state.users)
    assert generate(1, "tiny", YEAR_END).people.reciprocal_strong == []
