"""Policies, revisions and gateways in the admin: to look at. They change by the routing pages, the API and the gateways themselves."""

from __future__ import annotations

from django.contrib import admin

from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline
from rollbackhub.routing.models import Candidate, Gateway, PolicyRevision, RoutingPolicy


@admin.register(RoutingPolicy)
class RoutingPolicyAdmin(ReadOnlyModelAdmin):
    """What aliases mean."""

    list_display = ["alias", "environment", "artefact", "revision_number"]
    list_filter = ["environment"]
    list_select_related = ["environment", "artefact"]
    search_fields = ["alias"]


class CandidateInline(ReadOnlyTabularInline):
    """The revision's candidates."""

    model = Candidate
    fields = ["position", "candidate_id", "version", "weight"]
    show_change_link = False


@admin.register(PolicyRevision)
class PolicyRevisionAdmin(ReadOnlyModelAdmin):
    """Immutable states of policies."""

    list_display = ["id", "policy", "number", "reason", "actor_label", "created_at"]
    list_select_related = ["policy__environment"]
    search_fields = ["policy__alias__exact"]
    ordering = ["-id"]
    inlines = [CandidateInline]


@admin.register(Gateway)
class GatewayAdmin(ReadOnlyModelAdmin):
    """Processes that ask for routes."""

    list_display = ["node_id", "environment", "applied_number", "last_seen_at", "refused_number"]
    list_filter = ["environment"]
    list_select_related = ["environment"]
    search_fields = ["node_id"]
