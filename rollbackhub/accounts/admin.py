"""People, roles, teams, API tokens and notices in the admin. Rights change only by accounts/domain/transitions.py."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from rollbackhub.accounts.audited_admin import AuditedModelAdmin, admin_actor
from rollbackhub.accounts.domain.transitions import change_email, create_person, grant_role, revoke_role, revoke_token, set_active, set_responsible
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import ApiToken, Notice, Team, User
from rollbackhub.audit.domain.record import record
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin

# Nothing here works by groups, and addresses follow from the person's e-mail address.
for unused in (Group, EmailAddress):
    if admin.site.is_registered(unused):
        admin.site.unregister(unused)


class RolesField(forms.MultipleChoiceField):
    """The roles of a person, as boxes to tick."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=Role.choices, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text="Without a role a person sees nothing.", **kwargs
        )


class PersonAddForm(UserCreationForm):
    """A new person, with a first password."""

    roles = RolesField()

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email", "first_name", "last_name", "timezone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # People sign in by password only, so everybody gets one.
        self.fields.pop("usable_password", None)


class PersonChangeForm(UserChangeForm):
    """A person as they are."""

    roles = RolesField()

    class Meta(UserChangeForm.Meta):
        model = User
        fields = ("username", "password", "email", "first_name", "last_name", "timezone", "is_active", "responsible")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["roles"] = sorted(self.instance.roles)


@admin.register(User)
class PersonAdmin(DjangoUserAdmin, AuditedModelAdmin):  # type: ignore[type-arg, misc]
    """People are deactivated, never deleted: the record of what they did names them."""

    form = PersonChangeForm
    add_form = PersonAddForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "full_name", "email", "roles_in_words", "is_active", "last_login"]
    list_filter = ["is_active", "role_assignments__role", ("responsible", admin.EmptyFieldListFilter)]
    search_fields = ["username", "email", "first_name", "last_name"]
    ordering = ["username"]
    filter_horizontal = ()
    autocomplete_fields = ["responsible"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "timezone")}),
        ("Rights", {"fields": ("roles", "responsible")}),
        ("Since", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "first_name", "last_name", "timezone", "roles", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With the roles, which the list shows."""
        return super().get_queryset(request).prefetch_related("role_assignments")

    @admin.display(description="name")
    def full_name(self, person: User) -> str:
        """First and last name."""
        return person.get_full_name()

    @admin.display(description="roles")
    def roles_in_words(self, person: User) -> str:
        """Comma separated."""
        return ", ".join(sorted(assignment.get_role_display() for assignment in person.role_assignments.all())) or "none"

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: deactivate instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[User], change: bool) -> None:
        """By the domain's functions, so that each change of rights stands on the audit log as what it is."""
        actor, values = admin_actor(request), form.cleaned_data
        with transaction.atomic():
            if not change:
                names = ("username", "email", "first_name", "last_name", "timezone")
                made = create_person(
                    password=values["password1"], roles=[Role(role) for role in values["roles"]], actor=actor, **{name: values[name] for name in names}
                )
                obj.__dict__.update(made.__dict__)
                return
            wanted_active, wanted_email, wanted_responsible = values["is_active"], values["email"], values["responsible"]
            before = User.objects.select_related("responsible").get(pk=obj.pk)
            obj.is_active, obj.email, obj.responsible = before.is_active, before.email, before.responsible
            obj.save()
            by_transition = {"roles", "is_active", "email", "responsible"}
            form.changed_data[:] = [name for name in form.changed_data if name not in by_transition]
            self.record_saved(request, obj, form, change)
            change_email(user=obj, email=wanted_email, actor=actor)
            for role in Role:
                (grant_role if role in values["roles"] else revoke_role)(user=obj, role=role, actor=actor)
            set_responsible(user=obj, responsible=wanted_responsible, actor=actor)
            set_active(user=obj, active=wanted_active, actor=actor)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Django's page; a new password is recorded (that, not what)."""
        with transaction.atomic():
            before = User.objects.filter(pk=id).values_list("password", flat=True).first() if id.isdigit() else None
            response = super().user_change_password(request, id, form_url)
            person = User.objects.filter(pk=id).first() if before is not None else None
            if person is not None and person.password != before:
                record(event="accounts.password_set", actor=admin_actor(request), subject_type="user", subject_id=person.pk, data={"username": person.username})
        return response


@admin.register(Team)
class TeamAdmin(AuditedModelAdmin):
    """Teams own artefacts, and their drills are planned by their working hours."""

    list_display = ["name", "slug", "timezone", "work_starts", "work_ends"]
    search_fields = ["name", "slug"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyModelAdmin):
    """Tokens are issued by their person or by `manage.py create_token`, which show them once; here they are listed and revoked."""

    list_display = ["name", "user", "token_key", "scopes", "created", "expiry", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username", "token_key"]
    fields = ["name", "user", "token_key", "scopes", "created", "expiry", "last_used_at"]
    readonly_fields = fields
    actions = ["revoke_selected"]

    @admin.action(description="Revoke the selected tokens")
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """At once."""
        tokens = list(queryset.select_related("user"))
        with transaction.atomic():
            for token in tokens:
                revoke_token(token=token, actor=admin_actor(request))
        self.message_user(request, f"{len(tokens)} revoked.")


@admin.register(Notice)
class NoticeAdmin(ReadOnlyModelAdmin):
    """What people were told, and whether the mail went out."""

    list_display = ["subject", "user", "created_at", "read_at", "mailed_at", "mail_error"]
    list_select_related = ["user"]
    list_filter = [("mail_error", admin.EmptyFieldListFilter)]
    search_fields = ["subject", "user__username__exact"]
