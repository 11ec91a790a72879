"""Attacks that tie something published to a person: hashes, times, pseudonyms, the order of rows.

Belongs here: A1, A2, A6 and the order part of A9. Does not belong here: figures (`numeric.py`), texts, files.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from random import Random

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from assets.rules import pseudonyms
from pipelines.audit.evidence import Release, Result, all_looked_at, measured, members, numbers

LINKED, UNIQUE, MATCHED, ORDERED = 0.05, 0.10, 0.05, 0.05
"""Pass levels of A2, A6b, A6c and A9 (privacy.md §5)."""

GUESSES = 1_000_001
"""Ids that are tried without a salt: more than a portal has."""

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")
PREFIX = 32
"""Hexadecimal digits that are compared: shorter digests are cut-off longer ones."""

CELL = ["process_key", "period", "rater_department_id", "ratee_department_id"]


def dictionary(values: Collection[str], ids: Iterable[int], salts: Collection[str], guesses: int = GUESSES) -> Result:
    """A1: pseudonyms that somebody finds who tries ids, with everything that could be a salt or a key.

    Args:
        values: hexadecimal strings of 32 digits or more found in any store.
        ids: employees' ids, tried with every salt.
        salts: strings found in configuration, dimensions and rows.
        guesses: ids below this are tried plainly.
    """
    wanted = {value.lower()[:PREFIX] for value in values}
    found: set[str] = set()
    tried = 0
    for text in (str(number) for number in range(guesses)):
        for algorithm in ("md5", "sha256"):
            digest = hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()[:PREFIX]
            if digest in wanted:
                found.add(digest)
    tried += 2 * guesses
    for number in ids:
        for digest in _digests(number, salts):
            tried += 1
            if digest in wanted:
                found.add(digest)
    return all_looked_at("A1 dictionary", len(found), len(wanted), f"{tried} guesses at {len(wanted)} values")


def _digests(number: int, salts: Collection[str]) -> Iterator[str]:
    """Digests of an id in the usual dresses: plain, salted before and behind, keyed."""
    plain = str(number)
    texts = [plain, f"rater|{plain}", f"user_{plain}", plain.zfill(8)]
    for salt in salts:
        texts += [salt + plain, plain + salt, f"{salt}|{plain}", f"{salt}:{plain}"]
    for text in texts:
        for algorithm in ALGORITHMS:
            yield hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()[:PREFIX]
    for salt in salts:
        for message in (plain.encode(), f"rater|{plain}".encode(), number.to_bytes(8, "little")):
            yield hmac.digest(salt.encode(), message, "sha256").hex()[:PREFIX]


def task_linkage(releases: Sequence[Release], shown: Sequence[Mapping[str, pd.DataFrame]] = ()) -> Result:
    """A2: a ratee who knows his tasks, their executors and close times names the author of a low score.

    Whatever stands in a published row (ratee, departments, month, day, task) is joined with all tasks; what matches is
    weighed by its number of ratings. Of all rows that fit a low score he takes the one that leaves fewest candidates.
    The baseline is his guess among the executors of the month.

    Args:
        releases: companies.
        shown: further row-level tables of each company, by name: any of process_key, ratee_id, rater_department_id,
            ratee_department_id, period, week, rated_on, task_id, and score.
    """
    named = guessed = 0.0
    tried = 0
    for at, release in enumerate(releases):
        hidden = release.known.hidden
        hidden = hidden[hidden["until"].eq(hidden["until"].max())]
        hidden = hidden.assign(week=[day.isocalendar()[:2] for day in hidden["rated_on"]])
        low = hidden[hidden["score"] < 5]
        blind = _shares(hidden, ["process_key", "ratee_id", "period"], low)
        best = blind
        behind = members(numbers(release.blocks, release.pairs), release.known)
        for _, rows in behind.groupby("cut"):
            best = _clearer(best, _of_numbers(rows, low))
        for frame in [release.rows, *(shown[at].values() if shown else ())]:
            best = _clearer(best, _of_rows(frame, hidden, low))
        named += float(best["true"].sum())
        guessed += float(blind["true"].sum())
        tried += len(low)
    baseline = guessed / max(tried, 1)
    return measured("A2 task linkage", named, tried, baseline, LINKED, "low scores whose author is named")


def _shares(hidden: pd.DataFrame, keys: list[str], low: pd.DataFrame) -> pd.DataFrame:
    """What a guess among the ratings with equal keys is worth: `true` for the author, `clear` for its certainty."""
    each = hidden.groupby([*keys, "rater_id"]).size().rename("own").reset_index()
    each["true"] = each["own"] / each.groupby(keys)["own"].transform("sum")
    each["clear"] = (each["true"] ** 2).groupby([each[key] for key in keys]).transform("sum")
    found = low[[*keys, "rater_id"]].merge(each, on=[*keys, "rater_id"], how="left")
    return found[["true", "clear"]].set_index(low.index)


def _of_numbers(behind: pd.DataFrame, low: pd.DataFrame) -> pd.DataFrame:
    """The same for the published numbers of one cut: candidates are all raters behind the number."""
    each = behind.groupby(["number", "rater_id"]).size().rename("own").reset_index()
    each["true"] = each["own"] / each.groupby("number")["own"].transform("sum")
    each["clear"] = (each["true"] ** 2).groupby(each["number"]).transform("sum")
    found = behind[["number", "rater_id", "version"]].merge(each, on=["number", "rater_id"])
    # A version stands in one number of a cut, a late edit apart; the clearest is what he takes.
    found = found.sort_values("clear").drop_duplicates("version", keep="last").set_index("version")
    return found[["true", "clear"]].reindex(low.index)


def _of_rows(frame: pd.DataFrame, hidden: pd.DataFrame, low: pd.DataFrame) -> pd.DataFrame:
    """The same for row-level tables: candidates are the ratings that look the same but for the score."""
    known = (
        "process_key",
        "ratee_id",
        "rater_department_id",
        "ratee_department_id",
        "period",
        "week",
        "rated_on",
        "task_id",
    )
    keys = [column for column in known if column in frame]
    found = _shares(hidden, keys, low)
    both = [*keys, "score"]
    stands = pd.MultiIndex.from_frame(low[both].astype(object)).isin(
        pd.MultiIndex.from_frame(frame[both].astype(object).drop_duplicates())
    )
    return found.where(pd.Series(stands, index=low.index), np.nan)


def _clearer(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return one.where(~other["clear"].gt(one["clear"]), other)


def linked_scopes(releases: Sequence[Release]) -> Result:
    """A6a: one pseudonym in two rater departments or months."""
    found = looked_at = 0
    for release in releases:
        scopes = release.rows[["pseudonym", "period", "rater_department_id"]].drop_duplicates()
        found += int(scopes["pseudonym"].duplicated(keep=False).sum())
        looked_at += len(scopes)
    return all_looked_at("A6a pseudonyms across scopes", found, looked_at, "pseudonyms that stand in two scopes")


def unique_volumes(releases: Sequence[Release]) -> Result:
    """A6b: pseudonyms whose numbers of rows fit one rater only.

    The adversary knows everybody's numbers of ratings by process and department pair. Where he knows the truth's
    numbers, a pseudonym is told if one rater alone has them, cut off at the largest number shown in its cell; without
    truth, if no other pseudonym of its department and month has the same.
    """
    told = tried = 0
    for release in releases:
        shown = release.rows.groupby([*CELL, "pseudonym"]).size().rename("rows").reset_index()
        for _, rows in shown.groupby(["period", "rater_department_id"]):
            period, department = rows["period"].iloc[0], int(rows["rater_department_id"].iloc[0])
            own = rows.pivot_table(
                index="pseudonym", columns=["process_key", "ratee_department_id"], values="rows", fill_value=0
            )
            vectors = [tuple(vector) for vector in own.to_numpy().tolist()]
            candidates = vectors
            if release.truth is not None:
                candidates = _volumes(release, period, department, own)
            told += sum(candidates.count(vector) <= 1 for vector in vectors)
            tried += len(vectors)
    return measured("A6b unique volumes", told, tried, 0.0, UNIQUE, "pseudonyms told by counting")


def _volumes(release: Release, period: date, department: int, own: pd.DataFrame) -> list[tuple[float, ...]]:
    """Everybody's numbers of ratings in the cells that are shown, cut off as the shown ones are."""
    rows = release.known.hidden
    rows = rows[
        rows["mode"].eq("pseudonymous").to_numpy()
        & rows["period"].eq(period).to_numpy()
        & rows["rater_department_id"].eq(department).to_numpy()
        & rows["since"].eq(0).to_numpy()
    ]
    counts = rows.groupby(["rater_id", "process_key", "ratee_department_id"]).size()
    table = counts.unstack(["process_key", "ratee_department_id"], fill_value=0).reindex(
        columns=own.columns, fill_value=0
    )
    return [tuple(vector) for vector in np.minimum(table.to_numpy(), own.to_numpy().max(axis=0)).tolist()]


def matched_histograms(releases: Sequence[Release]) -> Result:
    """A6c: pseudonyms of two months matched by their scores (Hungarian algorithm); a trial is a pseudonym.

    The baseline is a blind matching. Every two months of a department are compared.
    """
    hits = blind = 0.0
    tried = 0
    chance = np.random.default_rng(11)
    for release in releases:
        people = release.known.rater_of
        if not people:
            continue
        scores = release.rows.assign(score=release.rows["score"].astype(int))
        for _, rows in scores.groupby("rater_department_id"):
            months = [_histograms(of, chance) for _, of in rows.groupby("period")]
            for at, (names, drawn) in enumerate(months):
                for others, profiles in months[at + 1 :]:
                    cost = np.abs(drawn[:, None, :] - profiles[None, :, :]).sum(axis=2)
                    one, other = linear_sum_assignment(cost)
                    who = [people.get(name, -1) for name in names]
                    whom = [people.get(name, -2) for name in others]
                    hits += sum(who[a] == whom[b] for a, b in zip(one, other, strict=True))
                    shared = len(set(who) & set(whom))
                    blind += shared * len(one) / (len(who) * len(whom))
                    tried += len(one)
    return measured("A6c matched score histograms", hits, tried, blind / max(tried, 1), MATCHED, "pairs of months")


def _histograms(rows: pd.DataFrame, chance: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Pseudonyms of a month in random order with the shares of their scores."""
    counts = (
        rows.groupby(["pseudonym", "score"]).size().unstack(fill_value=0).reindex(columns=range(1, 6), fill_value=0)
    )
    shares = counts.div(counts.sum(axis=1), axis=0)
    order = chance.permutation(len(shares))
    return [str(name) for name in shares.index[order]], shares.to_numpy()[order]


# --- order -------------------------------------------------------------------------------------------------------

CROWD, CROWD_ROWS = 4_000, 5
"""Raters and rows of each in the made-up cell whose order is looked at: 20 000 rows bound a correlation of nothing by
0.02."""


def crowd_order(chance: Random) -> pd.DataFrame:
    """Order of the real pseudonymous rows of one huge cell: position, and what it must not follow."""
    raters = [rater for rater in range(1, CROWD + 1) for _ in range(CROWD_ROWS)]
    chance.shuffle(raters)
    size = len(raters)
    units = pd.DataFrame(
        {
            "process_key": "crowd",
            "rating_id": np.arange(1, size + 1),
            "period": date(2026, 1, 1),
            "ratee_id": [1 + number % 50 for number in range(size)],
            "rater_id": raters,
            "rater_department_id": 1,
            "ratee_department_id": 2,
            "score": [float(1 + number % 5) for number in range(size)],
            "mode": "pseudonymous",
            "is_viewer": False,
        }
    )
    key = chance.randbytes(32)
    rows = pseudonyms.pseudonymous_rows(units, date(2026, 1, 1), key)
    of = {pseudonyms.pseudonym(key, 1, rater): rater for rater in range(1, CROWD + 1)}
    return ordered(rows.assign(rater_id=[of[name] for name in rows["pseudonym"]]), units)


def ordered(rows: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Positions of published rows within their cell beside the order in which the ratings came.

    Args:
        rows: pseudonymous rows as published, with rater_id.
        units: the ratings.

    Returns:
        position, raw (order of ratings; of a rater with several of a score, their mean) and rater, as ranks from -1
        to 1 within the cell, in cells of at least ten rows.
    """
    came = units.groupby([*CELL, "rater_id", "score"])["rating_id"].mean().rename("raw").reset_index()
    found = (
        rows.assign(position=np.arange(len(rows))).merge(came, on=[*CELL, "rater_id", "score"]).sort_values("position")
    )
    parts = [
        pd.DataFrame(
            {
                name: _ranks(cell[column])
                for name, column in (("position", "position"), ("raw", "raw"), ("rater", "rater_id"))
            }
        )
        for _, cell in found.groupby(CELL)
        if len(cell) >= 10
    ]
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["position", "raw", "rater"], dtype=float)
    )


def _ranks(values: pd.Series[float]) -> np.ndarray:
    ranks = rankdata(values)
    return np.asarray((ranks - ranks.mean()) / max(ranks.std(), 1e-12))


def row_order(samples: Sequence[pd.DataFrame], large: pd.DataFrame) -> Result:
    """A9: does the order of published rows follow the order of ratings or the raters' ids?

    The large sample bounds Spearman's rho at 95 %. A small one cannot be told from chance within 0.05; it fails if it
    is further off than chance goes in one of 2 000 cases.

    Args:
        samples: `ordered` of published companies.
        large: `crowd_order`.
    """
    rho = _rho(large)
    bound = rho + 1.645 / np.sqrt(len(large))
    note = f"rho of {len(large)} rows"
    for sample in samples:
        if len(sample) > 1 and _rho(sample) > ORDERED + 3.5 / np.sqrt(len(sample)):
            rho = bound = _rho(sample)
            note = f"rho of the {len(sample)} rows of a published company"
    tried = len(large) + sum(len(sample) for sample in samples)
    return Result("A9 order of rows", 0.0, rho, float(bound), ORDERED, bool(bound <= ORDERED), tried, note)


def _rho(sample: pd.DataFrame) -> float:
    return float(max(abs((sample["position"] * sample[of]).mean()) for of in ("raw", "rater")))


def published_order(release: Release) -> pd.DataFrame:
    """`ordered` of a company released in memory; a warehouse's pseudonyms are nobody's without its keys."""
    truth = release.truth
    if truth is None or not truth.rater_of or release.rows.empty:
        return pd.DataFrame(columns=["position", "raw", "rater"], dtype="float64")
    rows = release.rows.assign(rater_id=[truth.rater_of.get(name, 0) for name in release.rows["pseudonym"]])
    hidden = truth.hidden
    return ordered(rows, hidden[hidden["mode"].eq("pseudonymous").to_numpy()])
