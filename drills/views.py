"""The one page of drills for machines without a person: a team's calendar, by its secret address."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from drills.domain.calendar import calendar_of
from drills.domain.feeds import feed_of, note_content, note_use
from rollbackhub.common.errors import NotFound


@require_safe
def calendar_feed(request: HttpRequest, secret: str) -> HttpResponseBase:
    """iCalendar for whoever knows the secret; 404 for everybody else. Nobody is signed in: calendars cannot."""
    try:
        feed = feed_of(secret)
    except NotFound as error:
        return HttpResponse(f"{error.message}\n", status=404, content_type="text/plain; charset=utf-8")
    note_use(feed)
    content = calendar_of(feed.team)
    etag = hashlib.sha256(content).hexdigest()[:32]
    changed_at = note_content(feed, etag=etag)
    response = HttpResponse(content, content_type="text/calendar; charset=utf-8")
    response.headers["Cache-Control"] = "private, no-cache"
    # Search engines, and the pages that a calendar links to, learn nothing of the address.
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Referrer-Policy"] = "no-referrer"
    found = get_conditional_response(request, etag=quote_etag(etag), last_modified=int(changed_at.timestamp()), response=response)
    answer = found or response
    answer.headers["ETag"] = quote_etag(etag)
    answer.headers["Last-Modified"] = changed_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return answer
