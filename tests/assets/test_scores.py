"""Half-years of scores: computed until they are closed, then never again, whatever happens to their ratings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from assets import scores
from assets.changes import COVERAGE_COLUMNS, READING_COLUMNS, forget
from assets.periods import key_of, months_back
from assets.ratings import write_months
from assets.release import JUDGED_COLUMNS, RELEASED_COLUMNS, RELEASED_EVENT_COLUMNS, RELEASED_OBLIGATION_COLUMNS
from assets.rules import scoring, signals
from assets.rules.disclosure import PROFILES
from assets.rules.policy import PolicyBook
from assets.scores import FIGURES, bring_up_to_date, coverage_of, read_scores
from assets.terms import Terms
from sources.contracts import Process
from sources.stand_in.company import generate
from sources.stand_in.state import MOSCOW
from sources.vault import CURRENT, Vault, VaultError, VaultKey
from warehouse_sql.warehouse import Session, Warehouse, table

FIRST, NOW = date(2026, 7, 1), datetime(2026, 11, 20, 12, tzinfo=MOSCOW)
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
PROCESS = Process.model_validate(generate(3, "tiny", NOW).config["processes"][0])
FIT, FIND = scoring.fit, signals.find
RATEES, RATERS = range(10, 18), range(20, 30)


def made_up(first: date = FIRST) -> pd.DataFrame:
    """Each rater rates each ratee every third month: good ratees get more fives, ten is the best."""
    rows = []
    for month in [month for month in months_back(NOW.date(), 12) if month >= first]:
        for ratee in RATEES:
            for rater in RATERS:
                if (month.month + ratee + rater) % 3 == 0:
                    score = 5 if (ratee * 7 + rater * 5 + month.month * 3) % 10 >= (ratee - 10) else 4
                    rows.append((month, month + timedelta(days=9), ratee, rater, score))
    frame = pd.DataFrame(rows, columns=["period", "rated_on", "ratee_id", "rater_id", "score"])
    return frame.assign(process_key=PROCESS.key, rating_id=range(1, len(frame) + 1), exclusion_code="", mode="open")


class Desk:
    """A vault as the steps before leave it, a warehouse as readers see it."""

    def __init__(self, vault: Vault, db: Session) -> None:
        self.vault = vault
        self.db = db
        self.ratings = made_up()
        self.held = [month for month in months_back(NOW.date(), 12) if month >= FIRST]
        self.closed = self.held[:-1]
        self.processes: tuple[Process, ...] = (PROCESS,)
        self.read = self.processes
        self.now = NOW

    @property
    def terms(self) -> Terms:
        return Terms(self.processes, PolicyBook(()), "default", PROFILES["default"], 8)

    def lay_down(self) -> None:
        """What `released` and the reading of the portal leave in the vault."""
        keys = [key_of(month) for month in self.held]
        rows = self.ratings.assign(
            **dict.fromkeys(("was_open", "was_named", "is_viewer"), False),
            **dict.fromkeys(("ratee_department_id", "rater_department_id", "task_id"), 1),
            **dict.fromkeys(
                ("comment", "comment_level", "comment_rules", "ruleset_version", "reason_codes", "reason_source"), ""
            ),
            policy_version="",
        )
        for key in keys:
            self.vault.write("checked", key, pa.table({"none": []}))
        write_months(self.vault, "judged", keys, rows, JUDGED_COLUMNS)
        write_months(self.vault, "released", keys, rows[rows["mode"].eq("open")], RELEASED_COLUMNS)
        coverage = [
            {"process_key": process.key, "period": month, "read_on": month + timedelta(days=80 if is_closed else 20)}
            for process in self.read
            for month in self.held
            for is_closed in [month in self.closed]
        ]
        self.vault.write("coverage", CURRENT, pa.Table.from_pylist(coverage, COVERAGE_COLUMNS))

    def run(self) -> pd.DataFrame:
        """One run of the step; what it publishes."""
        self.lay_down()
        warehouse: Any = SimpleNamespace(session=lambda _: nullcontext(self.db))
        bring_up_to_date(self.vault, warehouse, self.terms, self.now.date())
        frame: pd.DataFrame = read_scores(self.vault)[0].to_pandas()
        return frame

    def publish(self) -> None:
        """Puts what was computed where readers see it."""
        named, signalled = read_scores(self.vault)
        self.db.insert("hr.fct_score", named.append_column("scope", pa.array(["named"] * len(named))))
        self.db.insert("hr.fct_signal", signalled.append_column("status", pa.array(["new"] * len(signalled))))
        rated = self.ratings.assign(is_counted=self.ratings["exclusion_code"].eq(""))
        columns = ["process_key", "rating_id", "period", "rater_id", "ratee_id", "is_counted", "exclusion_code"]
        self.db.insert("hr.fct_rating", pa.Table.from_pandas(rated[columns], preserve_index=False))

    def edit(self, month: date, score: int) -> None:
        self.ratings.loc[self.ratings["period"].eq(month), "score"] = score

    def files(self) -> dict[str, bytes]:
        names = ("scored", "signalled", "score_window", "score_member")
        folder = self.vault._path
        return {str(file): file.read_bytes() for name in names for file in sorted((folder / name).glob("*"))}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Warehouse(path=tmp_path_factory.mktemp("scores") / "warehouse").session("test") as session:
        session.prepare()
        yield session


@pytest.fixture
def desk(tmp_path: Path, db: Session) -> Desk:
    for name in ("fct_score", "fct_signal", "fct_rating"):
        db.command(f"TRUNCATE TABLE hr.{name}")
    vault = Vault(tmp_path / "vault", VaultKey(bytes(range(32))))
    reading = {"process_key": PROCESS.key, "entity_type_id": PROCESS.entity_type_id, "watermark": NOW, "digest": ""}
    reading |= {"last_id": 1, "elements": 1, "swept_on": NOW.date()}
    vault.write("reading", CURRENT, pa.Table.from_pylist([reading], READING_COLUMNS))
    return Desk(vault, db)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain means and no signals: what is remembered does not depend on the model, which takes its time."""

    def score(ratings: pd.DataFrame, **_: Any) -> pd.DataFrame:
        groups = ratings.groupby("ratee_id", as_index=False)
        found = groups.agg(
            ratings=("score", "size"),
            raters=("rater_id", "nunique"),
            months=("period", "nunique"),
            mean_score=("score", "mean"),
            share_of_fives=("score", lambda scores: scores.eq(5).mean()),
        )
        share = found["share_of_fives"]
        return found.assign(
            **dict.fromkeys(("adjusted_share", "lower_bound", "upper_bound", "sensitivity_share"), share),
            **dict.fromkeys(("coverage", "component_share"), 0.75),
            **dict.fromkeys(("band", "sensitivity_band"), scoring.NORMAL),
            effective_ratings=found["ratings"].astype("float64"),
            component=0,
            explanation=[f"Доля пятёрок {one:.2f}." for one in share],
        )

    def find(*_: Any, **__: Any) -> pd.DataFrame:
        return pd.DataFrame(columns=["signal_type", "rater_id", "ratee_id", "strength"])

    monkeypatch.setattr(scoring, "fit", lambda _: None)
    monkeypatch.setattr(scoring, "score", score)
    monkeypatch.setattr(signals, "find", find)
    monkeypatch.setattr(signals, "flagged_pairs", lambda found, _: found[["rater_id", "ratee_id"]])


@pytest.fixture
def odd_pair(plain: None, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """One signal in every half-year, about one pair."""
    rater, ratee = 21, 10

    def find(ratings: pd.DataFrame, *_: Any, **__: Any) -> pd.DataFrame:
        row = {"signal_type": "sinking", "rater_id": rater, "ratee_id": ratee, "ratings": 2, "strength": 2.5}
        return pd.DataFrame([row | {"explanation": "Две оценки ниже.", "is_experimental": False}])

    monkeypatch.setattr(signals, "find", find)
    return rater, ratee


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_dtype=False)


def until(frame: pd.DataFrame, last: date) -> pd.DataFrame:
    return frame[frame["window_to"].le(last).to_numpy(dtype=bool)]


# --- figures ------------------------------------------------------------------------------------------------------


def test_every_half_year_holds_what_its_own_ratings_say(desk: Desk) -> None:
    found = desk.run()
    assert sorted(set(found["window_to"])) == [*desk.closed, NOVEMBER]
    assert set(found["band"]) >= {scoring.NORMAL, scoring.INSUFFICIENT}
    for row in found.to_dict("records"):
        first = months_back(row["window_to"], 6)[0]
        own = [
            rating
            for rating in desk.ratings.to_dict("records")
            if rating["ratee_id"] == row["ratee_id"] and first <= rating["period"] <= row["window_to"]
        ]
        assert row["window_from"] == first
        assert row["ratings"] == len(own)
        assert row["raters"] == len({rating["rater_id"] for rating in own})
        assert row["months"] == len({rating["period"] for rating in own})
        assert row["mean_score"] == pytest.approx(sum(rating["score"] for rating in own) / len(own), abs=5e-5)
        assert row["share_of_fives"] == pytest.approx(sum(rating["score"] == 5 for rating in own) / len(own), abs=5e-5)


def test_the_last_half_year_is_what_the_scoring_rule_says_of_its_ratings(desk: Desk) -> None:
    found = desk.run()
    last = found[found["window_to"].eq(NOVEMBER)].reset_index(drop=True)
    rows = desk.ratings
    fitted = scoring.fit(rows)
    expected = scoring.score(rows, flagged=signals.flagged_pairs(signals.find(rows, fitted), fitted))
    assert last["band"].tolist() == expected["band"].tolist()
    assert last["explanation"].tolist() == expected["explanation"].tolist()
    for name in ("adjusted_share", "lower_bound", "upper_bound", "sensitivity_share", "component_share"):
        np.testing.assert_allclose(last[name], expected[name], atol=5.1e-5)


@pytest.mark.usefixtures("plain")
def test_ratings_that_do_not_count_or_are_not_named_take_no_part(desk: Desk) -> None:
    desk.ratings.loc[desk.ratings["rater_id"].eq(20), "exclusion_code"] = "unexplained"
    desk.ratings.loc[desk.ratings["rater_id"].eq(21), "mode"] = "aggregate"
    found = desk.run()
    desk.ratings = desk.ratings[~desk.ratings["rater_id"].isin([20, 21])]
    same(found.drop(columns="is_frozen"), Desk.run(fresh(desk)).drop(columns="is_frozen"))


def fresh(desk: Desk) -> Desk:
    """The same desk with a vault that remembers nothing."""
    for name in ("scored", "signalled", "score_window", "score_member"):
        for file in (desk.vault._path / name).glob("*"):
            file.unlink()
    return desk


def test_coverage_of_a_ratee_leaves_waived_ratings_out(desk: Desk) -> None:
    statuses = {10: ["fulfilled", "fulfilled", "missed", "waived"], 11: ["waived"], 12: ["missed"]}
    rows = pd.DataFrame([(ratee, one) for ratee, given in statuses.items() for one in given])
    found = coverage_of(rows.set_axis(["ratee_id", "status"], axis=1)).set_index("ratee_id")["coverage"]
    assert found.round(4).to_dict() == pytest.approx({10: 0.6667, 11: np.nan, 12: 0.0}, nan_ok=True)


def test_too_few_expected_ratings_given_make_the_evidence_too_thin(desk: Desk) -> None:
    rows = pd.DataFrame([(10, "fulfilled"), (10, "missed")], columns=["ratee_id", "status"])
    rows = rows.assign(
        process_key=PROCESS.key, period=NOVEMBER, rater_id=[20, 21], mode="open", waiver="", policy_version="",
        **dict.fromkeys(("rater_department_id", "ratee_department_id", "task_id", "tasks", "rating_id"), 0),
        **dict.fromkeys(("expected_on", "due_on", "rated_on"), NOVEMBER),
    )  # fmt: skip
    write_months(desk.vault, "released_obligation", ["2026-11"], rows, RELEASED_OBLIGATION_COLUMNS, order=("rater_id",))
    found = {row["window_to"]: row for row in desk.run().query("ratee_id == 10").to_dict("records")}
    assert (found[NOVEMBER]["coverage"], found[NOVEMBER]["band"]) == (0.5, scoring.INSUFFICIENT)
    assert pd.isna(found[OCTOBER]["coverage"])
    assert found[OCTOBER]["band"] != scoring.INSUFFICIENT


# --- frozen half-years --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plain")
def test_closed_half_years_stay_when_their_ratings_are_edited_and_the_open_one_follows(desk: Desk) -> None:
    before = desk.run()
    assert before.groupby("window_to")["is_frozen"].all().to_dict() == dict.fromkeys(desk.closed, True) | {
        NOVEMBER: False
    }
    desk.edit(OCTOBER, 1)
    after = desk.run()
    same(until(after, OCTOBER), until(before, OCTOBER))
    assert (after["mean_score"].iloc[-8:].to_numpy() < before["mean_score"].iloc[-8:].to_numpy()).all()


@pytest.mark.usefixtures("plain")
def test_half_years_freeze_one_by_one_as_their_months_close(desk: Desk) -> None:
    desk.closed, last = desk.closed[:-1], desk.closed[-1]
    desk.run()
    desk.edit(last, 4)
    edited = desk.run()
    assert not edited.loc[edited["window_to"].eq(last), "is_frozen"].any()
    desk.closed.append(last)
    closed = desk.run()
    same(closed.drop(columns="is_frozen"), edited.drop(columns="is_frozen"))
    desk.edit(last, 5)
    same(until(desk.run(), last), until(closed, last))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("lacking", ["another process was never read", "nobody looked for the oldest rating"])
def test_nothing_freezes_before_everything_was_read(desk: Desk, lacking: str) -> None:
    if lacking.startswith("another"):
        desk.processes = (PROCESS, PROCESS.model_copy(update={"key": "second"}))
        rows = desk.vault.read("reading", CURRENT).to_pylist()
        both = [*rows, rows[0] | {"process_key": "second"}]
        desk.vault.write("reading", CURRENT, pa.Table.from_pylist(both, READING_COLUMNS))
    else:
        desk.vault.write("reading", CURRENT, READING_COLUMNS.empty_table())
    assert not desk.run()["is_frozen"].any()


@pytest.mark.usefixtures("plain")
def test_a_run_that_changes_nothing_writes_nothing(desk: Desk) -> None:
    desk.run()
    before = desk.files()
    assert len(before) > 4
    desk.run()
    assert desk.files() == before


@pytest.mark.usefixtures("plain")
def test_a_run_killed_before_it_noted_what_is_frozen_froze_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Vault.write

    def killed(self: Vault, dataset: str, *rest: Any) -> None:
        if dataset == "score_window":
            raise VaultError("killed")
        write(self, dataset, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "write", killed)
        with pytest.raises(VaultError, match="killed"):
            desk.run()
    desk.edit(OCTOBER, 1)
    interrupted = desk.run()
    same(interrupted, fresh(desk).run())


@pytest.mark.usefixtures("plain")
def test_half_years_over_a_destroyed_month_keep_their_last_figures(desk: Desk) -> None:
    before = desk.run()
    forget(desk.vault, desk.terms, OCTOBER, desk.now.date())
    desk.held.remove(OCTOBER)
    desk.ratings = desk.ratings[desk.ratings["period"].ne(OCTOBER)]
    desk.edit(NOVEMBER, 1)
    after = desk.run()
    same(after.drop(columns="is_frozen"), before.drop(columns="is_frozen"))
    assert after["is_frozen"].all()
    assert "2026-10" not in desk.vault.periods("score_member")
    desk.now = datetime(2026, 12, 20, 12, tzinfo=MOSCOW)
    assert desk.run()["window_to"].max() == NOVEMBER, "half of December's half-year would be made of what is left"


# --- a stricter policy --------------------------------------------------------------------------------------------


def test_a_rating_that_the_policy_hides_later_takes_figures_and_signals_with_it(
    desk: Desk, odd_pair: tuple[int, int]
) -> None:
    before = desk.run()
    signalled = read_scores(desk.vault)[1].to_pandas()
    rater, ratee = odd_pair
    is_pair = desk.ratings["rater_id"].eq(rater) & desk.ratings["ratee_id"].eq(ratee)
    hidden = desk.ratings.loc[is_pair].iloc[0]
    last = hidden["period"]
    desk.ratings.loc[hidden.name, "mode"] = "aggregate"
    for _ in range(2):
        after = desk.run()
        is_hit = after["ratee_id"].eq(ratee) & after["window_to"].ge(last) & after["window_to"].le(OCTOBER)
        assert 0 < is_hit.sum() < 6
        stale, was = after[is_hit], before[is_hit]
        assert stale[FIGURES].isna().all().all()
        assert stale["band"].tolist() == was["band"].tolist()
        assert not stale["explanation"].str.contains(r"\d").any()
        same(until(after[~is_hit], OCTOBER), until(before[~is_hit], OCTOBER))
        left = read_scores(desk.vault)[1].to_pandas()
        same(left, signalled[~(signalled["window_to"].ge(last) & signalled["window_to"].le(OCTOBER))])


@pytest.mark.usefixtures("plain")
def test_raising_a_score_is_a_signal_until_the_policy_hides_the_rating(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "find", FIND)
    monkeypatch.setattr(scoring, "fit", FIT)
    raised, own = desk.ratings.iloc[0], desk.ratings.iloc[1]
    desk.ratings.loc[raised.name, "exclusion_code"] = "deleted"
    desk.ratings.loc[own.name, "exclusion_code"] = "self_rating"
    changes = [
        {"process_key": PROCESS.key, "rating_id": row["rating_id"], "period": row["period"], "event": "edit"}
        | {"observed_on": OCTOBER, "old_score": 3, "score": 5, "rater_id": row["rater_id"], "ratee_id": row["ratee_id"]}
        for row in (raised, own)
    ]
    desk.vault.write("released_event", CURRENT, pa.Table.from_pylist(changes, RELEASED_EVENT_COLUMNS))
    desk.run()
    found = [row for row in read_scores(desk.vault)[1].to_pylist() if row["signal_type"] == "pressure_edit"]
    assert {(row["rater_id"], row["ratee_id"]) for row in found} == {(raised["rater_id"], raised["ratee_id"])}
    assert {row["window_to"] for row in found} == {OCTOBER, NOVEMBER}
    desk.ratings.loc[raised.name, "mode"] = "aggregate"
    desk.vault.write("released_event", CURRENT, RELEASED_EVENT_COLUMNS.empty_table())
    after = desk.run()
    assert "pressure_edit" not in read_scores(desk.vault)[1]["signal_type"].to_pylist()
    assert after["ratings"].notna().all(), "a deleted rating stands behind no score"


@pytest.mark.usefixtures("plain")
def test_hiding_a_rating_of_others_leaves_a_row_its_figures(desk: Desk) -> None:
    before = desk.run()
    desk.ratings.loc[desk.ratings["ratee_id"].ne(10), "mode"] = "department_only"
    after = desk.run()
    mine = before["ratee_id"].eq(10) & before["window_to"].le(OCTOBER)
    same(after[after["ratee_id"].eq(10) & after["window_to"].le(OCTOBER)], before[mine])
    rest = until(after[after["ratee_id"].ne(10)], OCTOBER)
    assert rest["ratings"].isna().all()


# --- a vault begun anew -------------------------------------------------------------------------------------------


def test_a_vault_without_memory_takes_frozen_half_years_over_from_the_warehouse(
    desk: Desk, odd_pair: tuple[int, int]
) -> None:
    before = desk.run()
    signalled = read_scores(desk.vault)[1]
    desk.publish()
    fresh(desk).edit(OCTOBER, 1)
    after = desk.run()
    same(until(after, OCTOBER), until(before, OCTOBER))
    assert read_scores(desk.vault)[1].equals(signalled)
    assert (after["mean_score"].iloc[-8:].to_numpy() < before["mean_score"].iloc[-8:].to_numpy()).all()


@pytest.mark.usefixtures("plain")
def test_what_was_taken_over_loses_its_figures_too_when_the_policy_hides_a_rating(desk: Desk) -> None:
    desk.run()
    desk.publish()
    hidden = desk.ratings[desk.ratings["ratee_id"].eq(12) & desk.ratings["period"].eq(OCTOBER)].index[0]
    desk.ratings.loc[hidden, "mode"] = "aggregate"
    after = until(fresh(desk).run(), OCTOBER)
    is_hit = after["ratee_id"].eq(12) & after["window_to"].eq(OCTOBER)
    assert after.loc[is_hit, FIGURES].isna().all().all()
    assert after.loc[~is_hit, "ratings"].notna().all()


@pytest.mark.usefixtures("plain")
def test_an_older_vault_takes_over_only_what_it_lacks(desk: Desk) -> None:
    desk.closed, last = desk.closed[:-1], desk.closed[-1]
    desk.run()
    older = desk.files()
    desk.closed.append(last)
    newest = desk.run()
    desk.publish()
    for file, content in older.items():
        Path(file).write_bytes(content)
    desk.edit(last, 1)
    same(until(desk.run(), last), until(newest, last))


@pytest.mark.usefixtures("plain")
def test_columns_of_another_version_are_refused_by_name(desk: Desk) -> None:
    desk.run()
    desk.vault.write("scored", CURRENT, desk.vault.read("scored", CURRENT).drop_columns(["coverage"]))
    with pytest.raises(VaultError, match="scored was written by another version"):
        desk.run()


def test_figures_are_all_columns_that_hidden_scope_leaves_empty(db: Session) -> None:
    types = {column["name"]: column["type"] for column in db.columns(table("hr", "fct_score"))}
    assert [name for name, kind in types.items() if kind.startswith("Nullable")] == FIGURES
    assert set(scores.SCORED_COLUMNS.names) | {"scope"} == set(types)
