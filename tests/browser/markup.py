"""Markdown and HTML that would act if it could, and where people can write it.

A part of the product whose fields are new adds a line to WRITERS: a function that writes a text into all its fields and gives the addresses at
which they are shown.
"""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse

from incidents.models import Incident
from rollbackhub.common.clock import now
from rollbackhub.postmortems.enums import PostmortemState, ReviewVerdict
from rollbackhub.postmortems.models import Cause, FactorAnswer, Reviewer, Section, TextRevision
from tests.factories.actions import ActionFactory
from tests.factories.alerts import AlertFactory, AlertHookFactory, AlertRuleFactory, AutoRollbackFactory, ProposalFactory
from tests.factories.drills import DrillPlanFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.incidents import IncidentCorrectionFactory, IncidentFactory, IncidentNoteFactory
from tests.factories.notifications import ChannelFactory, MessageDeliveryFactory
from tests.factories.postmortems import PostmortemActionFactory, make_action, make_postmortem
from tests.factories.reviews import AttendanceFactory, ReviewDecisionFactory, WantedDecisionFactory, make_review

MARK = "markup-attack"
"""Stands in every address that a text would have fetched."""
RAN = "window.__ran=(window.__ran||0)+1"

CORPUS = [
    # HTML that runs a script.
    f"<script>{RAN}</script>",
    f"<SCRIPT>{RAN}//",
    f"</textarea><script>{RAN}</script>",
    f"</title><script>{RAN}</script>",
    f"</script><script>{RAN}</script>",
    f'"><script>{RAN}</script>',
    f"'><script>{RAN}</script>",
    f"<scr<script>ipt>{RAN}</scr</script>ipt>",
    f"<script src=/{MARK}/a.js></script>",
    f"<script src=//evil.example/{MARK}.js></script>",
    f"<script type=module>import '/{MARK}/a.mjs'</script>",
    f"<!--><script>{RAN}</script>-->",
    f"<![CDATA[<script>{RAN}</script>]]>",
    # Elements that act by themselves.
    f'<img src="/{MARK}/x.png" onerror="{RAN}">',
    f"<img src=x:/{MARK} onerror={RAN}>",
    f'<svg onload="{RAN}"></svg>',
    f"<svg><script>{RAN}</script></svg>",
    f'<svg><animate onbegin="{RAN}" attributeName=x dur=1s></svg>',
    f'<svg><a xlink:href="javascript:{RAN}"><text>x</text></a></svg>',
    f'<math><mtext></form><form><mglyph><style></math><img src onerror="{RAN}">',
    f'<body onload="{RAN}">',
    f'<iframe src="javascript:{RAN}"></iframe>',
    f'<iframe srcdoc="<script>parent.{RAN}</script>"></iframe>',
    f'<iframe src="/{MARK}/frame"></iframe>',
    f'<object data="/{MARK}/x.swf"></object>',
    f'<embed src="/{MARK}/x.swf">',
    f'<video src="/{MARK}/x.mp4" onerror="{RAN}" autoplay></video>',
    f'<audio src="/{MARK}/x.mp3" onerror="{RAN}"></audio>',
    f'<details open ontoggle="{RAN}">x</details>',
    f'<input autofocus onfocus="{RAN}">',
    f'<marquee onstart="{RAN}">x</marquee>',
    f'<form action="/{MARK}/post" method="post"><button autofocus onfocus="{RAN}">x</button></form>',
    f'<meta http-equiv="refresh" content="0;url=/{MARK}/away">',
    f'<link rel="stylesheet" href="/{MARK}/x.css">',
    f'<base href="//evil.example/{MARK}/">',
    f"<style>@import '/{MARK}/x.css'; body {{ display: none }}</style>",
    f'<p style="background:url(/{MARK}/x.png)">x</p>',
    f'<template><script>{RAN}</script></template><slot onslotchange="{RAN}"></slot>',
    f'<noscript><p title="</noscript><img src=x:/{MARK} onerror={RAN}>"></noscript>',
    f'<a href="javascript:{RAN}" autofocus>x</a>',
    f'<a href="jav&#x09;ascript:{RAN}">x</a>',
    f'<div hx-get="/{MARK}/htmx" hx-trigger="load">x</div>',
    f'<div data-hx-get="/{MARK}/htmx" data-hx-trigger="load" hx-on:load="{RAN}">x</div>',
    f'<div data-figure="x" id="chart-templates">{{"x": "{RAN}"}}</div>',
    # Markdown that becomes such.
    f"[x](javascript:{RAN})",
    f"[x](JaVaScRiPt:{RAN})",
    f"[x](java\nscript:{RAN})",
    f"[x](&#106;avascript:{RAN})",
    f"[x](data:text/html;base64,PHNjcmlwdD4{MARK})",
    f"[x](vbscript:{RAN})",
    f'[x](https://example.org "onmouseover={RAN}")',
    f'[x](<https://example.org/" onmouseover="{RAN}>)',
    f"<javascript:{RAN}>",
    f"![x](/{MARK}/picture.png)",
    f"![x](https://evil.example/{MARK}.png)",
    f'![x"onerror="{RAN}](x:/{MARK})',
    f"[ref]: javascript:{RAN}\n[ref]",
    f"```<script>{RAN}</script>\n```\n`<img src=x:/{MARK} onerror={RAN}>`",
    f"| a | b |\n|---|---|\n| <script>{RAN}</script> | <img src=x:/{MARK} onerror={RAN}> |",
    f"> <svg onload={RAN}>\n\n1. <iframe src=/{MARK}/f></iframe>",
    # What templates, spreadsheets and terminals would take for their own.
    "{{ 7|add:7 }} {% load static %} ${7*7} #{7*7}",
    '=HYPERLINK("https://evil.example") \u2028 &lt;script&gt;',
    "\ufeff&#60;script&#62;window.__ran=1&#60;/script&#62;",
    "<" * 400 + "a" + ">" * 400,
    # What cannot be seen: refused by most fields, and inert where a machine has sent it.
    f"\x1b]0;x\x07\u202e<script>{RAN}</script>",
]


def write_postmortem(text: str) -> list[str]:
    """Every field that people write of a postmortem, in review and published."""
    addresses = []
    for state in (PostmortemState.IN_REVIEW, PostmortemState.PUBLISHED):
        postmortem = make_postmortem(state, incident__title=text[:200], incident__summary=text)
        Incident.objects.filter(pk=postmortem.incident_id).update(detected_by=text[:200], exposure_basis=text, outcome=text, authority=text)
        Section.objects.filter(postmortem=postmortem).update(text=text, by_label=text[:200])
        FactorAnswer.objects.filter(postmortem=postmortem).update(words=text, fact=text)
        Reviewer.objects.filter(postmortem=postmortem).update(verdict=ReviewVerdict.CHANGES, note=text)
        cause, _ = Cause.objects.get_or_create(slug=f"markup-{CORPUS.index(text)}", defaults={"name": f"{CORPUS.index(text)} {text}"[:60]})
        postmortem.causes.add(cause)
        for number in (1, 2):
            said = {"text": text * number, "reason": text, "by_label": text[:200]}
            TextRevision.objects.create(postmortem=postmortem, key="summary", number=number, saved_at=now(), **said)
        action = make_action(postmortem, title=text[:200], detail=text, origin_label=text[:200], is_gating=True)
        PostmortemActionFactory(postmortem=postmortem, action=action)
        pages = ("detail", "history") if state == PostmortemState.PUBLISHED else ("detail", "edit", "factors", "settings", "review")
        addresses += [reverse(f"postmortems:{page}", args=[postmortem.pk]) for page in pages]
        addresses.append(reverse("actions:detail", args=[action.pk]))
    return addresses


def write_incident(text: str) -> list[str]:
    """Every field that people write of an incident, on its page, on its record, and as search shows it."""
    number = CORPUS.index(text)
    said = {"stable_evidence": text, "impact": text, "detected_by": text[:200], "outcome": text, "exposure_basis": text, "authority": text}
    incident = IncidentFactory(title=f"needle{number} {text}"[:200], summary=f"needle{number} {text}", stable=True, stable_by_label=text[:200], **said)
    note = IncidentNoteFactory(incident=incident, text=text, author_label=text[:200])
    IncidentNoteFactory(incident=incident, withdrawn=True, withdrawn_reason=text)
    IncidentCorrectionFactory(incident=incident, value={"impact": text}, before={"impact": text}, reason=text)
    about = [incident.pk]
    return [
        reverse("incidents:detail", args=about),
        reverse("incidents:record", args=about),
        reverse("incidents:edit", args=about),
        reverse("incidents:note", args=[incident.pk, note.pk]),
        f"{reverse('postmortems:search')}?q=needle{number}",
    ]


def write_alert(text: str) -> list[str]:
    """What other systems send by a hook, and what people write about it."""
    hook = AlertHookFactory(name=text[:100])
    rule = AlertRuleFactory(name=text[:100], matchers=[{"label": "pod", "op": "=", "value": text[:200]}])
    proposal = ProposalFactory(dismissed=True, detected_by=text[:200], ended_because=text, not_automatic=text)
    Incident.objects.filter(pk=proposal.incident_id).update(title=text[:200])
    said = {"name": text[:200], "fingerprint": text[:200], "outcome": text}
    labels, annotations = {"alertname": text, text[:100]: text}, {"summary": text, text[:100]: text}
    alert = AlertFactory(
        hook=hook, rule=rule, policy=proposal.policy, incident=proposal.incident, proposal=proposal, labels=labels, annotations=annotations, **said
    )
    waiting = ProposalFactory(detected_by=text[:200])
    Incident.objects.filter(pk=waiting.incident_id).update(title=text[:200])
    return [
        reverse("alerts:proposal", args=[waiting.pk]),
        reverse("alerts:detail", args=[alert.pk]),
        reverse("alerts:proposal", args=[proposal.pk]),
        reverse("alerts:rule-edit", args=[rule.pk]),
    ]


def write_others(text: str) -> list[str]:
    """Channels and what was sent by them, plans and excuses, quiet periods: all but one are shown on lists."""
    number = CORPUS.index(text)
    MessageDeliveryFactory(
        channel=ChannelFactory(name=f"{number} {text}"[:100], last_error=text[:300], last_failed_at=now()), message__subject=text[:200], message__body=text
    )
    plan = DrillPlanFactory(name=f"{number} {text}"[:100])
    QuietPeriodFactory(reason=text[:200])
    AutoRollbackFactory(reason=text)
    ActionFactory(title=f"{number} {text}"[:200], detail=text, done=True, closed_reason=text)
    return [reverse("drills:planned", args=[PlannedDrillFactory(plan=plan, excused=True, why=text).pk])]


def write_review(text: str) -> list[str]:
    """What people write in a quarterly review."""
    review = make_review()
    review.items.update(minutes=text)
    WantedDecisionFactory(review=review, text=text, asked_by_label=text[:200])
    ReviewDecisionFactory(review=review, text=text, owner_label=text[:200])
    AttendanceFactory(review=review, name=text[:200])
    return [reverse("reviews:detail", args=[review.pk]), reverse("reviews:present", args=[review.pk])]


WRITERS: list[Callable[[str], list[str]]] = [write_postmortem, write_incident, write_alert, write_others, write_review]

LISTS = [
    *("/postmortems/", "/postmortems/causes/", "/incidents/search/?q=needle", "/actions/", "/incidents/", "/alerts/", "/alerts/proposals/", "/alerts/rules/"),
    *("/alerts/hooks/", "/alerts/automation/", "/notifications/", "/notifications/deliveries/", "/drills/plans/", "/drills/calendar/", "/reviews/", "/"),
    *(f"{place}?page={number}" for place in ("/incidents/", "/alerts/", "/alerts/proposals/", "/actions/", "/postmortems/") for number in (2, 3)),
]
"""Pages on which all of it stands together."""


def write_all(text: str) -> list[str]:
    """A text into every field; where it is shown."""
    return [address for write in WRITERS for address in write(text)]
