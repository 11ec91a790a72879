"""Attacks on published figures: small cells, differences, proofs, presence.

Belongs here: A3, A4, A5, A7, A12, A13, A14 of the suite, and A15 on blocks. Does not belong here: bands of half-years
(`bands.py`), linkage (`linkage.py`), texts, files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.audit.evidence import (
    K,
    Release,
    Result,
    all_looked_at,
    members,
    none_allowed,
    numbers,
    ordinals,
)
from pipelines.audit.linear import Pinned, pinned

PAIR_RATERS, PAIR_RATEES = 5, 2
SHARE_RATERS, SHARE_AUTHORS = 5, 3
COVERAGE_RATERS = 4
ROW_RATERS, ROW_RATEES = 10, 2
POOL_RATERS, POOL_AUTHORS = 10, 3
MOST_RATERS = 12
"""Blocks with more raters are decided by the sum alone; listing their scores would tell nothing more."""


def small_cells(releases: Sequence[Release]) -> Result:
    """A3: a published figure behind which fewer distinct hidden raters stand than promised.

    Counted are people, never ratings; readers of the dashboards do not count; and what is left when HR takes away the
    rows that it reads by name must stand by itself. A trial is a rating inside a figure; it is exposed if the figure is
    too small.
    """
    exposed = tried = 0
    for release in releases:
        for rows, keys, people, least in _cells(release):
            few = _few(rows, keys, people, least)
            exposed += int(few.sum())
            tried += len(few)
    return none_allowed("A3 small cells", exposed, tried, "distinct hidden raters, for heads and for HR")


def _few(rows: pd.DataFrame, keys: list[str], people: str, least: int) -> np.ndarray:
    """Which ratings stand in a figure with too few people, or with too few whom HR does not know."""
    counted = rows[~rows["is_viewer"].to_numpy(dtype=bool)]
    unknown = counted[counted["mode"].ne("named_to_hr").to_numpy()]
    figures = pd.MultiIndex.from_frame(rows[keys]) if len(keys) > 1 else pd.Index(rows[keys[0]])
    everybody = counted.groupby(keys)[people].nunique().reindex(figures, fill_value=0).to_numpy()
    unseen = unknown.groupby(keys)[people].nunique().reindex(figures, fill_value=0).to_numpy()
    return np.asarray((everybody < least) | ((unseen > 0) & (unseen < least)))


def _cells(release: Release) -> list[tuple[pd.DataFrame, list[str], str, int]]:
    """Every published figure with the ratings behind it, and how many of which people it needs."""
    behind = members(numbers(release.blocks, release.pairs), release.known)
    blocks, pairs = (behind[behind["cut"].eq(cut).to_numpy()] for cut in ("block", "pair"))
    hidden = release.known.hidden
    hidden = hidden[hidden["mode"].ne("department_only").to_numpy()]
    cell = ["process_key", "period", "rater_department_id", "ratee_department_id"]
    rows = hidden[hidden["mode"].eq("pseudonymous").to_numpy()].merge(release.rows[cell].drop_duplicates(), on=cell)
    found = [
        (blocks, ["number"], "rater_id", K[release.profile]),
        (pairs, ["number"], "rater_id", PAIR_RATERS),
        (pairs, ["number"], "ratee_id", PAIR_RATEES),
        (rows, cell, "rater_id", ROW_RATERS),
        (rows, cell, "ratee_id", ROW_RATEES),
    ]
    said = release.known.ratings
    said = said[
        said["mode"].isin(["named_to_hr", "pseudonymous", "aggregate"]).to_numpy()
        & said["exclusion_code"].isin(["", "unexplained"]).to_numpy()
    ]
    said = said.assign(
        period_from=[month.replace(month=month.month - (month.month - 1) % 3) for month in said["period"]]
    )
    decided = ordinals(said["period_from"]) + 2
    said = said[(said["since"] <= decided) & (said["until"] > decided)]
    for shares, side in ((release.reasons, "ratee_department_id"), (release.violations, "rater_department_id")):
        keys = [side, "period_from"]
        of = said.merge(shares[keys].drop_duplicates(), on=keys).assign(is_viewer=False)
        found += [(of, keys, "rater_id", SHARE_RATERS), (of[of["score"] < 5], keys, "rater_id", SHARE_AUTHORS)]
    pool = ["process_key", "ratee_department_id"]
    # A pool does not tell its quarter, so some quarter must have had enough people.
    per_quarter = said.merge(release.comments[pool].drop_duplicates(), on=pool).assign(is_viewer=False)
    largest = per_quarter.groupby([*pool, "period_from"])["rater_id"].nunique().groupby(level=[0, 1]).idxmax()
    best = pd.DataFrame(largest.tolist(), columns=[*pool, "period_from"])
    found.append((per_quarter.merge(best, on=[*pool, "period_from"]), pool, "rater_id", POOL_RATERS))
    if len(release.known.expected):
        asked = release.known.expected
        asked = asked[asked["mode"].isin(["named_to_hr", "pseudonymous", "aggregate"]) & asked["status"].ne("waived")]
        sides = ["process_key", "period_from", "rater_department_id", "ratee_department_id"]
        of = asked.assign(period_from=asked["period"]).merge(release.coverage[sides].drop_duplicates(), on=sides)
        found.append((of, sides, "rater_id", COVERAGE_RATERS))
    return found


Versions = frozenset[tuple[int, int]]
"""Versions of ratings with their raters."""
Figures = dict[tuple[str, str, tuple[int, ...]], list[tuple[tuple[float, ...], Versions]]]
"""By cut, process and people: window and interval of each published figure, and what stands behind it."""


def refreshes(releases: Sequence[Release]) -> Result:
    """A4: two successive snapshots that differ by the ratings of fewer than k raters.

    A new, changed or vanished figure is compared with every figure of the snapshot before that is about the same
    people and shares a month with it; the ratings that explain the difference are all those that stand in one of the
    two only, or those that were edited in between if the window is the same. A trial is a rating behind a figure.
    """
    isolated = tried = 0
    for release in releases:
        least = K[release.profile]
        hidden = release.known.hidden
        before, known = 0, Figures()
        for month, blocks, pairs in release.snapshots:
            figures, size = _figures(blocks, pairs, release)
            edited = set(hidden.loc[hidden["since"].gt(before) & hidden["since"].le(month), "rating_id"])
            edits = hidden.loc[hidden["rating_id"].isin(edited), ["rating_id", "rater_id"]]
            rater_of = dict(zip(edits.index.tolist(), edits["rater_id"].tolist(), strict=True))
            found: set[int] = set()
            for key in known.keys() | figures.keys():
                old, new = known.get(key, []), figures.get(key, [])
                found |= _differences(old, new, least, rater_of) | _differences(new, old, least, rater_of)
            isolated += len(found)
            tried += size
            before, known = month, figures
    return none_allowed("A4 refreshes", isolated, tried, "month by month, with ratings edited after the freeze")


def _figures(blocks: pd.DataFrame, pairs: pd.DataFrame, release: Release) -> tuple[Figures, int]:
    """The figures of a snapshot, and how many ratings stand behind those that are new in it."""
    published = numbers(blocks, pairs)
    behind = members(published, release.known)
    of = {
        int(rows["number"].iloc[0]): frozenset(zip(rows["version"].tolist(), rows["rater_id"].tolist(), strict=True))
        for _, rows in behind.groupby("number")
    }
    figures: Figures = {}
    for number, row in enumerate(published.to_dict("records")):
        key = (str(row["cut"]), str(row["process_key"]), row["who"])
        told = (row["first"], row["last"], row["low"], row["high"])
        figures.setdefault(key, []).append((told, of.get(number, frozenset())))
    last = published["last"].max() if len(published) else 0
    return figures, int(behind["number"].isin(np.flatnonzero(published["last"].eq(last).to_numpy())).sum())


def _differences(
    old: list[tuple[tuple[float, ...], Versions]],
    new: list[tuple[tuple[float, ...], Versions]],
    least: int,
    edited: dict[int, int],
) -> set[int]:
    """Ratings that explain, with fewer than `least` raters, why a figure of `new` is not one of `old`."""
    known = {told for told, _ in old}
    found: set[int] = set()
    for told, ratings in new:
        if told in known:
            continue
        near = [(window, of) for window, of in old if window[0] <= told[1] and window[1] >= told[0]]
        for window, of in near or [((0.0, 0.0), frozenset())]:
            explaining = ratings ^ of
            if window[:2] == told[:2]:
                explaining = frozenset((version, rater) for version, rater in ratings if version in edited)
            raters = {rater for _, rater in explaining}
            if 0 < len(raters) < least:
                found |= {version for version, _ in explaining}
    return found


def linear_programmes(releases: Sequence[Release]) -> Result:
    """A5: everything published about hidden scores, solved together for one ratee month or one rater."""
    views = [view_of for release in releases for view_of in pinned_views(release)]
    narrow = sum(len(view.widths) for view in views)
    smallest = min((view.smallest for view in views), default=0.0)
    return none_allowed(
        "A5 linear programmes",
        narrow,
        sum(view.targets for view in views),
        f"ranges of less than a point; the narrowest is {smallest:.2f}",
    )


def pinned_views(release: Release) -> list[Pinned]:
    """What the published numbers of a company leave open to a head, an analyst and HR."""
    published = numbers(release.blocks, release.pairs)
    behind = members(published, release.known)
    hidden = release.known.hidden
    hidden = hidden.assign(month=ordinals(hidden["period"]), is_now=hidden["until"].eq(hidden["until"].max()))
    # Versions of one month in one class would share an unknown although their scores differ.
    behind = behind.merge(hidden["since"], left_on="version", right_index=True)
    found = []
    for process in sorted(set(hidden["process_key"])):
        units = hidden[hidden["process_key"].eq(process).to_numpy()]
        own = behind[behind["process_key"].eq(process).to_numpy()]
        views = ["analyst" if units["mode"].eq("pseudonymous").any() else "head"]
        views += ["hr"] if units["mode"].eq("named_to_hr").any() and units["mode"].ne("named_to_hr").any() else []
        found += [pinned(units, own, published, _sums(release, units), view) for view in views]
    return found


def _sums(release: Release, units: pd.DataFrame) -> pd.DataFrame:
    """What pseudonymous rows tell of the sums of their cells: the scores that stand there, and 1 to 5 of each other."""
    keys = ["process_key", "month", "rater_department_id", "ratee_department_id"]
    rows = release.rows.assign(month=ordinals(release.rows["period"])) if len(release.rows) else release.rows
    first = units[units["mode"].eq("pseudonymous").to_numpy() & units["since"].eq(0).to_numpy()]
    if rows.empty or first.empty:
        return pd.DataFrame(columns=[*keys, "low", "high"])
    shown = rows.groupby(keys)["score"].agg(["sum", "size"])
    whole = first.groupby(keys).size().reindex(shown.index).dropna()
    shown = shown.loc[whole.index]
    rest = whole - shown["size"]
    return shown.assign(low=shown["sum"] + rest, high=shown["sum"] + 5 * rest).reset_index()


def proofs(releases: Sequence[Release]) -> Result:
    """A7: a block that proves a score below five, to a ratee with one colluding rater.

    Of every block and every colluder among its raters, a trial is one other rater: is there a set of scores with a
    five of his that fits the band, the colluder's own score and the scores of readers of the dashboards?
    """
    proved = tried = 0
    for release in releases:
        published = numbers(release.blocks, release.pairs)
        behind = members(published, release.known)
        behind = behind[behind["cut"].eq("block").to_numpy()]
        means = behind.groupby(["number", "rater_id"]).agg(mean=("score", "mean"), is_viewer=("is_viewer", "first"))
        for _, rows in means.reset_index().groupby("number"):
            high = float(published["high"].to_numpy()[int(rows["number"].iloc[0])])
            own = rows["mean"].to_numpy(dtype="float64")
            sees = rows["is_viewer"].to_numpy(dtype=bool)
            for colluder in range(len(own)):
                knows = sees.copy()
                knows[colluder] = True
                victims = int((~knows).sum())
                tried += victims
                # Everybody else at his lowest leaves most room for the one.
                room = high * len(own) - own[knows].sum() - (victims - 1)
                proved += victims if room < 5 - 1e-9 else 0
    return none_allowed("A7 homogeneity", proved, tried, "scores proved below five, with one colluder")


def mixed_totals(open_rows: pd.DataFrame, totals: pd.DataFrame) -> Result:
    """A12: a total of the open scope from which the open rows can be taken away.

    Args:
        open_rows: ratings that everybody reads: process_key, period, rater_department_id, ratee_department_id, score.
        totals: published open pairs: the same keys with period_from, ratings, mean_score.
    """
    keys = ["process_key", "period_from", "rater_department_id", "ratee_department_id"]
    own = open_rows.assign(period_from=open_rows["period"]).groupby(keys)["score"].agg(["size", "sum"])
    both = totals.set_index(keys)[["ratings", "mean_score"]].join(own, how="left").fillna(0.0)
    rest = both["ratings"] - both["size"]
    points = both["ratings"] * both["mean_score"] - both["sum"]
    found = int(((rest != 0) | (points.abs() > 1e-6)).sum())
    return all_looked_at("A12 mixed modes", found, len(both), "open totals less open rows leave nothing")


def bonus(releases: Sequence[Release]) -> Result:
    """A15: inverting a payslip that is a formula of the published band: what is left of the mean's interval."""
    published = [numbers(release.blocks, release.pairs) for release in releases]
    blocks = pd.concat([of[of["cut"].eq("block").to_numpy()] for of in published])
    found = int((blocks["high"] - blocks["low"] < 0.25 - 1e-9).sum())
    return all_looked_at("A15 bonus", found, len(blocks), "bands narrower than the rounding step")


def policy_change(after: Release, ratings: pd.DataFrame, opened: int) -> Result:
    """A13: what still shows ratings that a stricter policy has taken back, and what a looser one opens of the past.

    Args:
        after: what is published after the policy became stricter.
        ratings: what had been released, with `mode_now`.
        opened: old ratings that a looser line opened.
    """
    now = ratings.set_index(["process_key", "rating_id"])["mode_now"]
    now = now[~now.index.duplicated()]
    behind = members(numbers(after.blocks, after.pairs.iloc[:0]), after.known)
    mode = now.reindex(pd.MultiIndex.from_frame(behind[["process_key", "rating_id"]]))
    found = int((~mode.isin(["named_to_hr", "pseudonymous", "aggregate"])).sum())
    cell = ["process_key", "period", "rater_department_id", "ratee_department_id"]
    rows = ratings[ratings["mode"].eq("pseudonymous") & ratings["is_counted"]].merge(
        after.rows[cell].drop_duplicates(), on=cell
    )
    found += int((~rows["mode_now"].eq("pseudonymous")).sum()) + len(after.comments) + len(after.bands)
    note = "ratings still shown after the policy became stricter, or opened by a looser one"
    return all_looked_at("A13 policy change", found + opened, len(ratings), note)


def presence(pairs: Sequence[tuple[Release, Release]]) -> Result:
    """A14: does the presence or length of a figure tell that all were low?

    Args:
        pairs: a company released twice: as it is, and with lowest scores planted for some ratees. A trial is a block of
            either; the adversary tells the two apart by a block that is there in one only.
    """
    found = tried = 0
    for one, other in pairs:
        shapes = [
            set(
                of.blocks[["ratee_id", "process_key", "block_from", "block_to", "rater_band"]].itertuples(
                    index=False, name=None
                )
            )
            for of in (one, other)
        ]
        found += len(shapes[0] ^ shapes[1])
        tried += len(shapes[0] | shapes[1])
    return all_looked_at("A14 presence", found, tried, "blocks that are there only if scores are low")
