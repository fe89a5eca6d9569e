"""The authority table (to change), rollbacks and their evidence (to look at), and the decision about a request, in the admin."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from rollbackhub.accounts.audited_admin import AuditedModelAdmin, admin_actor
from rollbackhub.accounts.models import User
from rollbackhub.accounts.reauthentication import password_entered_at
from rollbackhub.common.errors import Forbidden, InvalidInput, NotFound, RollbackHubError
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline
from rollbackhub.rollbacks.domain.approvals import approve_rollback, reject_rollback
from rollbackhub.rollbacks.domain.authority import require_may_decide, set_rule, wrong_fields_of_rule
from rollbackhub.rollbacks.domain.selectors import get_rollback, list_parts
from rollbackhub.rollbacks.enums import Decision, RollbackState, Via
from rollbackhub.rollbacks.models import Approval, AuthorityRule, HeldTraffic, Rollback, RollbackPart, RollForward
from rollbackhub.rollbacks.rules import MAX_REASON

SAID = "rollback_decision_reason"
"""Where a session keeps a reason that was typed while the password is asked for again."""


CHANGEABLE = ("role", "tell_next_after_seconds", "expires_after_seconds")


class AuthorityRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A row of the table; what cannot be is said at its field."""

    class Meta:
        model = AuthorityRule
        fields = CHANGEABLE

    def clean(self) -> dict[str, Any]:
        """Ask the domain."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            wrong = wrong_fields_of_rule(subject=self.instance.subject, **{name: values[name] for name in CHANGEABLE})
            for field, sentences in wrong.items():
                self.add_error(field if field in self.fields else None, sentences)
        return values

    def validate_constraints(self) -> None:
        """The database's own constraints say the same as the domain, without a field."""
        if not self.errors:
            super().validate_constraints()


@admin.register(AuthorityRule)
class AuthorityRuleAdmin(AuditedModelAdmin):
    """Who decides alone about what. One row for each subject, seeded; only role and times change."""

    form = AuthorityRuleForm
    list_display = ["subject", *CHANGEABLE]
    fields = ["subject", *CHANGEABLE]
    readonly_fields = ["subject"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one for each subject already."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A subject without a row would take leadership."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[AuthorityRule], change: bool) -> None:
        """By the domain's function, which records what was and what is."""
        if form.has_changed():
            set_rule(subject=obj.subject, actor=admin_actor(request), **{name: form.cleaned_data[name] for name in CHANGEABLE})


class PartInline(ReadOnlyTabularInline):
    """Its aliases, in order."""

    model = RollbackPart
    fields = ["position", "policy", "bad_version", "procedure_version", "execution", "holds_alias"]
    readonly_fields = fields


class ApprovalInline(ReadOnlyTabularInline):
    """Who decided what."""

    model = Approval
    fields = ["decision", "user", "role", "via", "decided_at", "reason", "plan_hash"]
    readonly_fields = fields


class RollForwardInline(ReadOnlyTabularInline):
    """Fixes that were shipped instead."""

    model = RollForward
    fields = ["fix_version", "state", "started_by", "skipped_gates", "outcome", "created_at", "ended_at"]
    readonly_fields = fields
    fk_name = "rollback"


class HeldTrafficInline(ReadOnlyTabularInline):
    """Traffic that reached a version under hold."""

    model = HeldTraffic
    fields = ["version", "seen_at", "requests", "seconds"]
    readonly_fields = fields


class DecisionForm(forms.Form):
    """What an administrator says about a request, and about which plan."""

    decision = forms.ChoiceField(choices=Decision.choices, widget=forms.HiddenInput)
    plan_hash = forms.CharField(max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False,
        max_length=MAX_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Needed to reject. It goes on the record, and who asked is told.",
    )


@admin.register(Rollback)
class RollbackAdmin(ReadOnlyModelAdmin):
    """Rollbacks are run on their pages. Here administrators look at them, and decide about requests that wait."""

    list_display = ["id", "state", "environment", "requested_by_label", "required_role", "authorised_how", "rollback_seconds", "decided_at"]
    list_filter = ["state", "environment", "authorised_how", "required_role"]
    list_select_related = ["environment"]
    search_fields = ["id__exact", "parts__policy__alias__exact"]
    inlines = [PartInline, ApprovalInline, RollForwardInline, HeldTrafficInline]
    actions_detail = ["decide"]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The decision is offered while the request waits."""
        waits = Rollback.objects.filter(pk=_id_of(str(object_id)), state=RollbackState.AWAITING_APPROVAL).exists()
        return super().get_actions_detail(request, object_id) if waits else []

    @action(description="Decide about the request", url_path="decide", icon="gavel")
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the plan and take the decision. A refusal is a message; a password that is too old is asked for first."""
        person = request.user
        actor = admin_actor(request)
        assert isinstance(person, User)  # admin_actor has refused everybody else
        try:
            rollback = get_rollback(_id_of(object_id))
        except NotFound as error:
            raise Http404(error.message) from error
        if request.method == "POST":
            return self._decided(request, rollback, person)
        refusal = None
        if rollback.state != RollbackState.AWAITING_APPROVAL:
            messages.warning(request, f"Nobody has to decide about this request any more: {rollback.get_state_display().lower()}.")
            return redirect(_address_of(rollback))
        try:
            require_may_decide(rollback=rollback, approver=person, actor=actor, reauthenticated_at=password_entered_at(request))
        except Forbidden as error:
            if error.code == "reauthentication_required":
                return _ask_for_password(rollback)
            refusal = error
        said = request.session.pop(SAID, {})
        reason = said.get("reason", "") if said.get("rollback") == str(rollback.pk) else ""
        return self._page(request, rollback, DecisionForm(initial={"plan_hash": rollback.plan_hash, "reason": reason}), refusal=refusal)

    def _decided(self, request: HttpRequest, rollback: Rollback, person: User) -> HttpResponse:
        form = DecisionForm(request.POST)
        if not form.is_valid():
            return self._page(request, rollback, form)
        decision, reason = form.cleaned_data["decision"], form.cleaned_data["reason"]
        take = approve_rollback if decision == Decision.APPROVED else reject_rollback
        try:
            take(
                rollback_id=rollback.pk,
                approver=person,
                actor=admin_actor(request),
                plan_hash=form.cleaned_data["plan_hash"],
                reauthenticated_at=password_entered_at(request),
                via=Via.ADMIN,
                reason=reason,
            )
        except InvalidInput as error:
            form.add_error("reason" if "reason" in error.fields else None, error.message)
            return self._page(request, rollback, form)
        except RollbackHubError as error:
            if error.code == "reauthentication_required":
                request.session[SAID] = {"rollback": str(rollback.pk), "reason": reason}
                return _ask_for_password(rollback)
            messages.error(request, error.message)
            # The plan that has taken its place is there to be looked at; everything else is over.
            return redirect(_decision_address(rollback) if error.code == "plan_changed" else _address_of(rollback))
        messages.success(request, "Approved: it runs." if decision == Decision.APPROVED else "Rejected: nothing was changed. Who asked is told.")
        return redirect(_address_of(rollback))

    def _page(self, request: HttpRequest, rollback: Rollback, form: DecisionForm, *, refusal: Forbidden | None = None) -> HttpResponse:
        request.current_app = self.admin_site.name
        parts = list_parts(rollback)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "original": rollback,
            "title": f"Decide about {rollback}",
            "heading": f"Roll back {', '.join(part.policy.alias for part in parts)} in {rollback.environment.name}?",
            "rollback": rollback,
            "parts": [_part_in_words(part) for part in parts],
            "form": form,
            "refusal": refusal,
            "back": _address_of(rollback),
        }
        return render(request, "admin/rollbacks/rollback/decide.html", context)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyModelAdmin):
    """What people decided about requests."""

    list_display = ["rollback", "decision", "user", "role", "via", "decided_at"]
    list_select_related = ["rollback", "user"]
    list_filter = ["decision", "via", "role"]
    search_fields = ["rollback__id__exact", "user__username__exact"]


@admin.register(RollForward)
class RollForwardAdmin(ReadOnlyModelAdmin):
    """Fixes that were shipped instead of rolling back."""

    list_display = ["fix_version", "rollback", "state", "started_by", "created_at", "ended_at"]
    list_select_related = ["fix_version", "rollback", "started_by"]
    list_filter = ["state"]
    search_fields = ["rollback__id__exact", "fix_version__label"]


@admin.register(HeldTraffic)
class HeldTrafficAdmin(ReadOnlyModelAdmin):
    """Traffic that reached versions under hold."""

    list_display = ["version", "rollback", "requests", "seconds", "seen_at"]
    list_select_related = ["version", "rollback"]
    search_fields = ["rollback__id__exact", "version__label"]


def _id_of(text: str) -> UUID:
    """The id in an address. Raises Http404 for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("There is no such rollback.") from error


def _address_of(rollback: Rollback) -> str:
    return reverse("admin:rollbacks_rollback_change", args=[rollback.pk])


def _decision_address(rollback: Rollback) -> str:
    return reverse("admin:rollbacks_rollback_decide", args=[rollback.pk])


def _ask_for_password(rollback: Rollback) -> HttpResponse:
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': _decision_address(rollback)})}")


def _part_in_words(part: RollbackPart) -> dict[str, Any]:
    """What would be done at one alias, by the frozen plan."""
    plan = part.plan
    after = {entry["id"]: entry["weight"] for entry in plan["weights_rolled_back"]}
    rows = [[entry["id"], entry["version_pin"], f"{entry['weight']} %", f"{after.get(entry['id'], 0)} %"] for entry in plan["weights_before"]]
    return {
        "heading": f"{part.policy.alias}: take out {part.bad_version.label}",
        "table": {"headers": ["Candidate", "Version", "Now", "Afterwards"], "rows": rows},
        # Those that put things back run only when a person asks for it.
        "steps": ", ".join(step["title"] for step in plan["steps"] if not step["undo"]),
    }
