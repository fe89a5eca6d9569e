"""Channels and what teams are told; who may look sees everything but addresses, which nobody sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.models import Team
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.notification_forms import ChannelForm, RulesForm
from rollbackhub.dashboard.notification_looks import look_of_channel
from rollbackhub.notifications.domain.channels import change_channel, make_channel, send_test
from rollbackhub.notifications.domain.selectors import count_dead, get_channel, list_channels, list_rules, quiet_hours_of
from rollbackhub.notifications.domain.wishes import set_quiet_hours, set_rules
from rollbackhub.notifications.models import Channel

MOST_NAMED = 5
"""Teams that a sentence names; all of them stand in the table."""


@require_safe
@requires(Capability.VIEW)
def channel_list(request: HttpRequest) -> HttpResponse:
    """Do messages arrive? Every channel with how it does."""
    channels = list(list_channels())
    on = [channel for channel in channels if channel.is_active]
    context = {
        "rows": [(channel, look_of_channel(channel)) for channel in channels],
        "failing": sum(1 for channel in on if channel.failures),
        "working": sum(1 for channel in on if not channel.failures and channel.last_delivered_at is not None),
        "untried": sum(1 for channel in on if not channel.failures and channel.last_delivered_at is None),
        "dead": count_dead(),
    }
    return render(request, "notifications/channels.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def channel_new(request: HttpRequest) -> HttpResponse:
    """A new channel."""
    form = ChannelForm(request.POST or None, initial={"team": request.GET.get("team", "")})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            channel = make_channel(team=form.chosen_team(), name=values["name"], address_ref=values["address_ref"], user=person(request), actor=actor(request))
        except InvalidInput as error:
            form.blame(error)
        except Conflict as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The channel {channel.name} is kept. Send a test, then say what it is to tell.")
            return redirect("notifications:channels")
    return render(request, "notifications/channel_form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def channel_edit(request: HttpRequest, channel_id: UUID) -> HttpResponse:
    """Another name, or another place where the address is found."""
    channel = get_channel(channel_id)
    form = ChannelForm(request.POST or None, channel=channel)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            change_channel(channel_id=channel_id, user=person(request), actor=actor(request), name=values["name"], address_ref=values["address_ref"])
        except InvalidInput as error:
            form.blame(error)
        except Conflict as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The channel {values['name']} is changed.")
            return redirect("notifications:channels")
    return render(request, "notifications/channel_form.html", {"form": form, "channel": channel}, status=422 if form.errors else 200)


@require_POST
@requires(Capability.CONFIGURE)
def channel_test(request: HttpRequest, channel_id: UUID) -> HttpResponse:
    """Send a test message; the next page says what becomes of it."""
    delivery = send_test(channel_id=channel_id, user=person(request), actor=actor(request))
    return redirect("notifications:delivery", delivery_id=delivery.pk)


@require_POST
@requires(Capability.CONFIGURE)
def channel_off(request: HttpRequest, channel_id: UUID) -> HttpResponse:
    """Nothing goes there any more."""
    channel = change_channel(channel_id=channel_id, user=person(request), actor=actor(request), is_active=False)
    messages.success(request, f"The channel {channel.name} is off. What waited for it is discarded.")
    return redirect("notifications:channels")


@require_POST
@requires(Capability.CONFIGURE)
def channel_on(request: HttpRequest, channel_id: UUID) -> HttpResponse:
    """Messages go there again."""
    channel = change_channel(channel_id=channel_id, user=person(request), actor=actor(request), is_active=True)
    messages.success(request, f"The channel {channel.name} is on again: messages go there from now on.")
    return redirect("notifications:channels")


@require_safe
@requires(Capability.VIEW)
def rule_list(request: HttpRequest) -> HttpResponse:
    """Which teams are told what?"""
    teams = list(Team.objects.annotate(channels=Count("notification_channels", distinct=True), rules=Count("notification_rules", distinct=True)))
    ready = [team for team in teams if team.channels]
    context = {
        "teams": teams,
        "nothing_told": bool(teams) and not any(team.rules for team in teams),
        "no_channel": not ready,
        "ready": ready[:MOST_NAMED],
    }
    return render(request, "notifications/rules.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def team_rules(request: HttpRequest, slug: str) -> HttpResponse:
    """What is a team told, where and how soon? To change it is CONFIGURE's: the domain asks."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        raise NotFound(f"There is no team {slug}.", code="team_not_found")
    channels = list(Channel.objects.filter(team=team))
    if request.method == "POST":
        return _save_rules(request, team, channels)
    return _rules_page(request, team, channels, _rules_form(team, channels))


def _save_rules(request: HttpRequest, team: Team, channels: Sequence[Channel]) -> HttpResponse:
    form = _rules_form(team, channels, request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            with transaction.atomic():
                set_rules(team=team, wishes=form.wishes(), user=person(request), actor=actor(request))
                set_quiet_hours(
                    team=team, starts=values["starts"], ends=values["ends"], weekends=values["weekends"], user=person(request), actor=actor(request)
                )
        except InvalidInput as error:
            field = next((name for name in error.fields if name in form.fields), None)
            form.add_error(field, error.message)
        else:
            messages.success(request, f"{team.name} is told so from now on.")
            return redirect("notifications:team", slug=team.slug)
    return _rules_page(request, team, channels, form, status=422)


def _rules_form(team: Team, channels: Sequence[Channel], data: Any = None) -> RulesForm:
    return RulesForm(data, channels=channels, rules=list(list_rules(team=team.slug)), quiet=quiet_hours_of(team))


def _rules_page(request: HttpRequest, team: Team, channels: Sequence[Channel], form: RulesForm, *, status: int = 200) -> HttpResponse:
    told = [(rule, list(rule.channels.all())) for rule in list_rules(team=team.slug)]
    context = {
        "team": team,
        "channels": channels,
        "form": form,
        "told": told,
        "quiet": quiet_hours_of(team),
        "may_configure": may(user=person(request), capability=Capability.CONFIGURE),
    }
    return render(request, "notifications/team.html", context, status=status)
