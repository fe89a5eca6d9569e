"""Archiving and retiring versions in the admin: one, or many at once; and no deleting of what is still needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from unfold.decorators import action

from rollbackhub.accounts.audited_admin import AuditedModelAdmin, admin_actor
from rollbackhub.accounts.models import User
from rollbackhub.common.errors import InvalidInput, RollbackHubError
from rollbackhub.registry.domain.interlocks import Interlocked, list_interlocks
from rollbackhub.registry.domain.lifecycle import archive_version, retire_version
from rollbackhub.registry.models import Version

ACTS: dict[str, tuple[Callable[..., Version], str, str]] = {
    "retire": (retire_version, "Retire", "retired: nothing can go back to it any more"),
    "archive": (archive_version, "Archive", "archived"),
}
"""Domain function, the verb, and how it reads when it is done."""


class RetireActions(AuditedModelAdmin):
    """Adds the acts to the list (for many) and to a version's own page. Each version is retired or refused by itself, with its reasons."""

    actions = ["retire_selected", "archive_selected"]
    actions_detail = ["retire_one", "archive_one"]

    @admin.action(description="Retire the selected versions…")
    def retire_selected(self, request: HttpRequest, queryset: QuerySet[Version]) -> HttpResponse | None:
        """Those that are free; the others are named with their reasons."""
        return self._act(request, list(queryset.select_related("artefact")), name="retire")

    @admin.action(description="Archive the selected versions…")
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[Version]) -> HttpResponse | None:
        """As above."""
        return self._act(request, list(queryset.select_related("artefact")), name="archive")

    @action(description="Retire…", url_path="retire", icon="block")
    def retire_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One version, from its page."""
        return self._act_on_one(request, object_id, name="retire")

    @action(description="Archive…", url_path="archive", icon="inventory_2")
    def archive_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As above."""
        return self._act_on_one(request, object_id, name="archive")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """What is still needed stands among what protects it from being deleted."""
        to_delete, counts, missing, protected = super().get_deleted_objects(objs, request)
        versions = list(objs)
        reasons = list_interlocks(versions)
        # What is still needed is nobody's to delete: the reasons are shown, not the permissions that would be missing besides.
        refusals = [_refusal(version, reasons) for version in versions if version.pk in reasons]
        return to_delete, counts, set() if refusals else missing, [*protected, *refusals]

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Ask once more: something may have come to need it meanwhile. Raises Interlocked."""
        reasons = list_interlocks([obj]).get(obj.pk)
        if reasons:
            raise Interlocked(version=obj, reasons=reasons)
        super().delete_model(request, obj)

    def _act_on_one(self, request: HttpRequest, object_id: str, *, name: str) -> HttpResponse:
        version = Version.objects.select_related("artefact").filter(pk=object_id).first() if object_id.isascii() and object_id.isdecimal() else None
        if version is None:
            raise Http404("There is no such version.")
        return self._act(request, [version], name=name) or redirect(reverse("admin:registry_version_change", args=[version.pk]))

    def _act(self, request: HttpRequest, versions: Sequence[Version], *, name: str) -> HttpResponse | None:
        """The page that asks for the reason; None once it was done, which messages say."""
        if request.POST.get("confirmed") != "yes":
            return self._page(request, versions, name=name)
        act, _, done = ACTS[name]
        person = request.user
        actor = admin_actor(request)
        assert isinstance(person, User)  # admin_actor has refused everybody else
        for version in versions:
            try:
                act(version_id=version.pk, account=person, actor=actor, reason=request.POST.get("reason", "").replace("\x00", ""))
            except InvalidInput as error:
                # No reason was given: that holds for all of them.
                return self._page(request, versions, name=name, wrong=error.message)
            except RollbackHubError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.message_user(request, f"{version.label} of {version.artefact.slug} is {done}.", messages.SUCCESS)
        return None

    def _page(self, request: HttpRequest, versions: Sequence[Version], *, name: str, wrong: str = "") -> HttpResponse:
        request.current_app = self.admin_site.name
        reasons = list_interlocks(versions) if name == "retire" else {}
        verb = ACTS[name][1]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": f"{verb} versions",
            "heading": f"{verb} {versions[0].label}?" if len(versions) == 1 else f"{verb} {len(versions)} versions?",
            "verb": verb,
            "versions": [(version, reasons.get(version.pk, [])) for version in versions],
            "bulk_action": request.POST.get("action", ""),
            "wrong": wrong,
            "back": reverse("admin:registry_version_changelist"),
        }
        return render(request, "admin/registry/version/retire.html", context)


def _refusal(version: Version, reasons: dict[int, Any]) -> str:
    return Interlocked(version=version, reasons=reasons[version.pk]).message
