"""Pooled comments of hidden scope: texts of a process and a department, without a word on who wrote them.

Belongs here: which comments a closed quarter lets out. Does not belong here: what identifies a person in a text
(`redaction.py`), when a quarter is closed, profiles that publish no texts (`assets/`).

Comments explain lowered scores, so their number must not be the number of lowered scores: one per author, rounded down
to a multiple of 3, and never of more than half of the raters, or every rater would be known to have written one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import pandas as pd

from assets.rules.comments import VIOLATION
from assets.rules.pseudonyms import digest
from assets.rules.shares import GIVEN, SHARED_MODES, months_of
from assets.rules.thresholds import SEEN_BY_HR, shielded

POOL_RATERS, POOL_AUTHORS = 10, 3
CUT = "comment_feed"

ROW_COLUMNS = ("release_id", "process_key", "ratee_department_id", "comment")
SPENT_COLUMNS = ("process_key", "rating_id", "period", "release_id")

FEW_PEOPLE = "comment_feed: too few raters or authors"
LEAK = "comment_feed: a text still names somebody"
REVIEW = "comment_feed: for a person to look at"

_POOL = ["process_key", "ratee_department_id"]
_RATING = ["process_key", "rating_id"]


class Redaction(Protocol):
    """One comment as it may be shown."""

    @property
    def text(self) -> str:
        """Without identifiers, normalised."""

    @property
    def needs_review(self) -> bool:
        """Whether it stays in the CRM until a person has looked at it."""


class Redactor(Protocol):
    """Takes people out of comments."""

    def redact_all(self, texts: Sequence[str]) -> Sequence[Redaction]:
        """Redacts texts, in their order."""

    def leaks(self, text: str) -> bool:
        """Whether a finished text still names anybody."""


@dataclass(frozen=True)
class Pools:
    """What a quarter's pools let out.

    Attributes:
        rows: `ROW_COLUMNS`, in keyed order; one release_id per pool.
        spent: `SPENT_COLUMNS`: which comments these are, for the vault only.
        held: how many pools or comments were held back, by reason.
    """

    rows: pd.DataFrame
    spent: pd.DataFrame
    held: dict[str, int] = field(default_factory=dict)


def pool_comments(
    ratings: pd.DataFrame,
    quarter: date,
    spent: pd.DataFrame,
    published: Collection[str],
    redactor: Redactor,
    seal: bytes,
) -> Pools:
    """Chooses and redacts the comments that a closed quarter lets out.

    A pool is a process and the ratees' department. It needs at least 10 raters in the quarter, and lets out comments
    of at least 3 authors: those of the quarter and those of before that no release has taken. HR knows the comments
    of mode named_to_hr, so those that HR does not know are counted and rounded by themselves.

    Args:
        ratings: checked ratings of hidden modes up to the quarter's end or later, with columns process_key,
            rating_id, period, rater_id, ratee_department_id, mode, exclusion_code, comment, comment_level.
        quarter: its first day; its months are frozen.
        spent: comments of earlier releases (columns process_key, rating_id).
        published: texts of earlier releases: an equal text would tell that one author wrote both.
        redactor: takes people out of texts.
        seal: the release's 32 random bytes.

    Returns:
        Rows, register and counts. A pool with one text in which the redactor still finds somebody lets out nothing.
    """
    _, _, last = months_of(quarter)
    own = ratings[
        ratings["mode"].isin(SHARED_MODES)
        & ratings["exclusion_code"].isin(GIVEN)
        & ratings["period"].le(last)
        & ratings["ratee_department_id"].ne(0)
    ]
    raters = own[own["period"].isin(months_of(quarter))]
    is_large = shielded(raters, _POOL, "rater_id", POOL_RATERS)
    written = own[own["comment"].str.strip().ne("") & own["comment_level"].ne(VIOLATION)]
    known = pd.MultiIndex.from_frame(spent[_RATING])
    written = written[~pd.MultiIndex.from_frame(written[_RATING]).isin(known)]
    stays = pd.MultiIndex.from_frame(written[_POOL]).isin(is_large.index[is_large])
    held = Counter({FEW_PEOPLE: len(written.loc[~stays, _POOL].drop_duplicates())})
    written = _redacted(written[stays], quarter, redactor, seal)
    held[REVIEW] = int(written["needs_review"].sum())
    written = written[~written["needs_review"]]
    seen = {_plain(text) for text in published}
    rows: list[tuple[str, str, int, str]] = []
    taken: list[tuple[str, int, date, str]] = []
    for process, department in sorted(set(zip(written["process_key"], written["ratee_department_id"], strict=True))):
        chosen = _chosen(_of_pool(written, process, department), _of_pool(raters, process, department), seen)
        if chosen.empty:
            held[FEW_PEOPLE] += 1
            continue
        if any(redactor.leaks(text) for text in chosen["text"]):
            held[LEAK] += 1
            continue
        seen |= {_plain(text) for text in chosen["text"]}
        release = digest(seal, CUT, process, int(department), quarter.isoformat(), last.isoformat()).hex()[:32]
        rows += [(release, process, int(department), text) for text in chosen["text"]]
        taken += [(*of, release) for of in chosen[[*_RATING, "period"]].itertuples(index=False, name=None)]
    rows.sort(key=lambda row: digest(seal, *row))
    return Pools(
        pd.DataFrame(rows, columns=list(ROW_COLUMNS)),
        pd.DataFrame(sorted(taken), columns=list(SPENT_COLUMNS)),
        {reason: count for reason, count in held.items() if count},
    )


def _redacted(written: pd.DataFrame, quarter: date, redactor: Redactor, seal: bytes) -> pd.DataFrame:
    """Comments with text and needs_review, in the quarter's keyed order."""
    redactions = list(redactor.redact_all([_paragraph(comment) for comment in written["comment"]]))
    ratings = zip(written["process_key"], written["rating_id"], strict=True)
    orders = [digest(seal, "comment", quarter.isoformat(), process, int(rating)).hex() for process, rating in ratings]
    return written.assign(
        text=pd.Series([redaction.text for redaction in redactions], index=written.index, dtype="str"),
        needs_review=pd.Series([redaction.needs_review for redaction in redactions], index=written.index, dtype="bool"),
        order=pd.Series(orders, index=written.index, dtype="str"),
    ).sort_values("order")


def _of_pool(rows: pd.DataFrame, process: str, department: int) -> pd.DataFrame:
    return rows[rows["process_key"].eq(process) & rows["ratee_department_id"].eq(department)]


def _chosen(candidates: pd.DataFrame, raters: pd.DataFrame, seen: Collection[str]) -> pd.DataFrame:
    """At most one comment of each author, each text once, in two lots: unknown to HR and known to it."""
    plain = candidates["text"].map(_plain)
    says_something = plain.str.contains(r"[^\W\d_]", regex=True) & ~plain.isin(list(seen))
    candidates = candidates.assign(plain=plain)[says_something]
    candidates = candidates.drop_duplicates("rater_id").drop_duplicates("plain")
    is_unknown = candidates["mode"].ne(SEEN_BY_HR)
    unknown_raters = raters.loc[raters["mode"].ne(SEEN_BY_HR), "rater_id"].nunique()
    unknown = candidates[is_unknown].head(_lot(int(is_unknown.sum()), unknown_raters // 2))
    room = raters["rater_id"].nunique() // 2 - len(unknown)
    return pd.concat([unknown, candidates[~is_unknown].head(_lot(int((~is_unknown).sum()), room))])


def _lot(comments: int, room: int) -> int:
    return min(comments, room) // POOL_AUTHORS * POOL_AUTHORS


def _paragraph(comment: str) -> str:
    """The longest paragraph: the first is often a greeting."""
    return max((line.strip() for line in comment.splitlines()), key=len)


def _plain(text: str) -> str:
    """What makes texts equal for a reader."""
    return " ".join(text.casefold().split())
