"""Full-text search across incidents and postmortems: by stem and by what somebody has begun to type."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from rollbackhub.common.errors import InvalidInput

MOST_WORDS = 12
LONGEST_QUERY = 200
RANKED = 1_000
"""So many of the newest matches are ranked: with a word that everything holds, ranking all would take long and help nobody."""
PAGE_SIZE = 20
HEADLINE_OF = 20_000
"""Characters of the text in which a passage is looked for."""

_OPEN, _CLOSE = "\x02", "\x03"
"""Around what matched: characters that no text may hold (common/shown_text.py)."""
_WORD = re.compile(r"[^\W_]+(?:[-_.:/][^\W_]+)*")
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")

# English finds the other forms of a word; `simple` goes on where a prefix is longer than the word's stem.
_ONE_WORD = "(to_tsquery('english', %s) || to_tsquery('simple', %s))"


@dataclass(frozen=True, slots=True)
class Found:
    """One incident, with its postmortem where it has one. Title and passages are safe HTML in which what matched stands in `mark`."""

    incident_id: UUID
    postmortem_id: UUID | None
    title: SafeString
    plain_title: str
    passages: SafeString
    plain_passages: str
    opened_at: dt.datetime
    state: str
    """The incident's."""
    severity: str
    postmortem_state: str


@dataclass(frozen=True, slots=True)
class Results:
    """A page of what was found, the best first."""

    query: str
    rows: list[Found]
    total: int
    """At most RANKED: there may be more."""
    page: int
    pages: int

    @property
    def is_cut(self) -> bool:
        """Whether there may be older matches that were not ranked."""
        return self.total >= RANKED


def search(query: str, *, page: int = 1) -> Results:
    """What holds all these words, each as a whole, in another form, or as a beginning. Raises InvalidInput for a query without a word.

    Two queries, in a transaction with a setting of its own.
    """
    text = query.replace("\x00", "").strip()
    if len(text) > LONGEST_QUERY:
        raise InvalidInput(f"Search for at most {LONGEST_QUERY} characters.", code="query_too_long", fields={"q": [f"At most {LONGEST_QUERY} characters."]})
    words = _WORD.findall(text)[:MOST_WORDS]
    if not words:
        raise InvalidInput("Write a word to search for.", code="query_empty", fields={"q": ["Write at least one word."]})
    sql, values = tsquery_of(words)
    with transaction.atomic(), connection.cursor() as cursor:
        by_index(cursor)
        cursor.execute(ranking_sql(sql), [*values, *values])
        ranked = [row[0] for row in cursor.fetchall()]
        pages = max(1, -(-len(ranked) // PAGE_SIZE))
        page = min(max(page, 1), pages)
        shown = ranked[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        cursor.execute(_passages_sql(sql), [*values, shown])
        rows = cursor.fetchall()
    return Results(query=text, rows=[_found(row) for row in rows], total=len(ranked), page=page, pages=pages)


def by_index(cursor: CursorWrapper) -> None:
    """Have this transaction look in the index. The planner takes reading all rows for cheap: it does not count that each vector is kept elsewhere (TOAST)."""
    cursor.execute("SET LOCAL enable_seqscan = off")


def tsquery_of(words: list[str]) -> tuple[str, list[str]]:
    """An expression that is a tsquery for all these words as beginnings, with its values."""
    values = [f"'{word}':*" for word in words for _ in range(2)]
    return " && ".join([_ONE_WORD] * len(words)), values


def ranking_sql(tsquery: str) -> str:
    """The statement that ranks the newest matches. Its values: those of the tsquery, twice."""
    return f"""
        SELECT incident_id FROM (
            SELECT incident_id, opened_at, vector FROM postmortems_searchdocument WHERE vector @@ ({tsquery}) ORDER BY opened_at DESC LIMIT {RANKED}
        ) newest
        ORDER BY ts_rank(vector, ({tsquery}), 1) DESC, opened_at DESC, incident_id
    """


def _passages_sql(tsquery: str) -> str:
    """Of the rows of a page, in their order. Where the English passage marks nothing, a prefix has matched: then the plain one is taken."""
    fragments = f'StartSel={_OPEN},StopSel={_CLOSE},MaxFragments=2,MaxWords=26,MinWords=10,FragmentDelimiter=" … "'
    whole = f"StartSel={_OPEN},StopSel={_CLOSE},HighlightAll=true"

    def headline(text: str, options: str) -> str:
        english, plain = (f"ts_headline('{language}', {text}, wanted.query, '{options}')" for language in ("english", "simple"))
        return f"(SELECT CASE WHEN position('{_OPEN}' in found) > 0 THEN found ELSE {plain} END FROM (SELECT {english} AS found) AS first)"

    title, passages = headline("d.title", whole), headline(f"left(d.body, {HEADLINE_OF})", fragments)
    return f"""
        WITH wanted AS MATERIALIZED (SELECT ({tsquery}) AS query)
        SELECT d.incident_id, p.id, {title}, {passages}, d.opened_at, i.state, i.severity, p.state
        FROM unnest(%s::uuid[]) WITH ORDINALITY AS page (id, place)
        JOIN postmortems_searchdocument d ON d.incident_id = page.id
        JOIN incidents_incident i ON i.id = page.id
        LEFT JOIN postmortems_postmortem p ON p.incident_id = page.id
        CROSS JOIN wanted
        ORDER BY page.place
    """


def _found(row: tuple[object, ...]) -> Found:
    incident_id, postmortem_id, title, passages, opened_at, state, severity, postmortem_state = row
    assert isinstance(incident_id, UUID)
    assert isinstance(opened_at, dt.datetime)
    return Found(
        incident_id=incident_id,
        postmortem_id=postmortem_id if isinstance(postmortem_id, UUID) else None,
        title=_marked(str(title)),
        plain_title=_unmarked(str(title)),
        passages=_marked(str(passages)),
        plain_passages=_unmarked(str(passages)),
        opened_at=opened_at,
        state=str(state),
        severity=str(severity),
        postmortem_state=str(postmortem_state or ""),
    )


def _marked(text: str) -> SafeString:
    """Escaped, with what matched in `mark`."""
    pieces, at = [], 0
    for match in _MARKED.finditer(text):
        pieces += [escape(_unmarked(text[at : match.start()])), f"<mark>{escape(match[1])}</mark>"]
        at = match.end()
    return mark_safe("".join([*pieces, escape(_unmarked(text[at:]))]))


def _unmarked(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")
