"""What administrators change: it holds, it is recorded field by field, it never holds a secret, and wrong input changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import ApiToken, Team, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Execution, Procedure, ProcedureVersion
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.models import Artefact, Connection, Environment, SpeedTarget, Version
from rollbackhub.rollbacks.models import AuthorityRule
from tests.admin.addresses import address
from tests.factories.accounts import ApiTokenFactory, TeamFactory, UserFactory
from tests.factories.audit import AuditEventFactory
from tests.factories.executions import ExecutionFactory, ProcedureVersionFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.routing import RoutingPolicyFactory

NEW_PASSWORD = "quite-another-horse"


@pytest.fixture
def admin(cast: Cast, client: Client) -> Client:
    """The administrator's browser."""
    client.force_login(cast.admin)
    return client


def events() -> list[tuple[str, str, dict[str, Any]]]:
    """Event, subject, data, without the sign-in."""
    return list(AuditEvent.objects.exclude(event="accounts.signed_in").order_by("pk").values_list("event", "subject_id", "data"))


def errors_of(answer: Any) -> str:
    """What the form says."""
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    return json.dumps(form.errors)


def saved(answer: Any) -> bool:
    """Whether the form was taken."""
    return bool(answer.status_code == 302)


def test_speed_targets_are_the_chapters(db: None) -> None:
    assert dict(SpeedTarget.objects.values_list("change_type", "seconds")) == {
        "prompt": 300,
        "model": 600,
        "agent_code": 1800,
        "eval_set": 900,
        "dataset": None,
    }


def test_speed_target_change_holds_and_is_recorded(admin: Client, cast: Cast) -> None:
    target = SpeedTarget.objects.get(change_type="prompt")
    assert saved(admin.post(address(SpeedTarget, "change", target.pk), {"seconds": "240", "change_type": "model"}))
    target.refresh_from_db()
    assert (target.seconds, target.change_type) == (240, "prompt")
    assert events() == [
        ("registry.speedtarget.changed", str(target.pk), {"name": "Prompt: 240", "fields": [{"field": "seconds", "before": 300, "after": 240}]})
    ]
    found = AuditEvent.objects.get(event="registry.speedtarget.changed")
    assert (found.actor_kind, found.actor_user_id) == ("person", cast.admin.pk)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_speed_target_that_cannot_be_is_refused(admin: Client, seconds: str) -> None:
    target = SpeedTarget.objects.get(change_type="prompt")
    answer = admin.post(address(SpeedTarget, "change", target.pk), {"seconds": seconds})
    assert errors_of(answer) != "{}"
    target.refresh_from_db()
    assert target.seconds == 300
    assert events() == []


def test_speed_target_can_be_neither_added_nor_deleted(admin: Client) -> None:
    target = SpeedTarget.objects.get(change_type="prompt")
    assert admin.post(address(SpeedTarget, "add"), {"seconds": "1"}).status_code == 403
    assert admin.post(address(SpeedTarget, "delete", target.pk), {"post": "yes"}).status_code == 403


def test_saving_without_a_change_records_nothing(admin: Client) -> None:
    target = SpeedTarget.objects.get(change_type="prompt")
    assert saved(admin.post(address(SpeedTarget, "change", target.pk), {"seconds": "300"}))
    assert events() == []


def test_team_added_changed_and_deleted_is_recorded(admin: Client) -> None:
    hours = {"timezone": "UTC", "work_starts": "09:00", "work_ends": "17:00"}
    assert saved(admin.post(address(Team, "add"), {"slug": "search", "name": "Search", **hours}))
    team = Team.objects.get()
    assert saved(admin.post(address(Team, "change", team.pk), {"slug": "search", "name": "Search and find", **hours, "work_ends": "16:00"}))
    assert saved(admin.post(address(Team, "delete", team.pk), {"post": "yes"}))
    assert not Team.objects.exists()
    assert [(event, data.get("fields")) for event, _, data in events()] == [
        ("accounts.team.added", [{"field": "slug", "after": "search"}, {"field": "name", "after": "Search"}]),
        (
            "accounts.team.changed",
            [{"field": "name", "before": "Search", "after": "Search and find"}, {"field": "work_ends", "before": "17:00:00", "after": "16:00:00"}],
        ),
        ("accounts.team.deleted", None),
    ]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"timezone": "Mars/Base"}, "There is no time zone"),
        ({"work_ends": "09:30"}, "an hour after it starts"),
        ({"work_ends": "08:00"}, "an hour after it starts"),
        ({"work_starts": "soon"}, "Enter a valid time"),
    ],
)
def test_team_with_hours_that_are_none_is_refused_in_words(admin: Client, change: dict[str, str], part: str) -> None:
    given = {"slug": "search", "name": "Search", "timezone": "Asia/Kolkata", "work_starts": "09:00", "work_ends": "17:00", **change}
    assert part in errors_of(admin.post(address(Team, "add"), given))
    assert not Team.objects.exists()


def test_teams_deleted_from_the_list_are_recorded_one_by_one(admin: Client) -> None:
    teams = TeamFactory.create_batch(2)
    admin.post(address(Team, "changelist"), {"action": "delete_selected", "_selected_action": [team.pk for team in teams], "post": "yes"})
    assert not Team.objects.exists()
    assert sorted(subject for event, subject, _ in events() if event == "accounts.team.deleted") == sorted(str(team.pk) for team in teams)


def test_team_that_owns_something_cannot_be_deleted(admin: Client) -> None:
    artefact = ArtefactFactory()
    assert not saved(admin.post(address(Team, "delete", artefact.team.pk), {"post": "yes"}))
    assert Team.objects.exists()
    assert events() == []


def test_artefact_says_what_verifies_it_and_leads_to_where_that_is_edited(admin: Client) -> None:
    artefact = ArtefactFactory(slug="assistant")
    page = address(Artefact, "change", artefact.pk)
    assert "The template of its change type" in admin.get(page).content.decode()
    artefact.checks = [{"kind": "gateway_revision", "key": "gateways", "title": "<b>Gateways</b> follow"}]
    artefact.save()
    said = admin.get(page).content.decode()
    assert "&lt;b&gt;Gateways&lt;/b&gt; follow." in said
    assert 'href="/registry/artefacts/assistant/checks/"' in said
    values = {"name": artefact.name, "team": artefact.team.pk, "stakes": artefact.stakes, "hold_days": "7", "checks": "[]", "verified_by": "x"}
    assert saved(admin.post(page, values))
    artefact.refresh_from_db()
    assert artefact.checks[0]["key"] == "gateways"
    assert "The template of its change type." in admin.get(address(Artefact, "add")).content.decode()


def test_artefact_keeps_its_slug_and_change_type(admin: Client) -> None:
    artefact = ArtefactFactory(slug="assistant")
    values = {
        "slug": "other",
        "change_type": "prompt",
        "name": "Assistant",
        "team": artefact.team.pk,
        "stakes": "high",
        "target_seconds": "120",
        "hold_days": "7",
    }
    assert saved(admin.post(address(Artefact, "change", artefact.pk), values))
    artefact.refresh_from_db()
    assert (artefact.slug, artefact.change_type, artefact.stakes, artefact.target_seconds) == ("assistant", "model", "high", 120)
    ((event, _, data),) = events()
    assert event == "registry.artefact.changed"
    assert [entry["field"] for entry in data["fields"]] == ["stakes", "target_seconds"]


def test_version_is_added_and_then_only_called_strategic(admin: Client) -> None:
    artefact = ArtefactFactory()
    assert saved(admin.post(address(Version, "add"), {"artefact": artefact.pk, "label": "v9", "digest": "sha256:9"}))
    version = Version.objects.get(label="v9")
    # What happens to it while the form is open stays.
    admin.get(address(Version, "change", version.pk))
    Version.objects.filter(pk=version.pk).update(lifecycle="live")
    values = {"artefact": ArtefactFactory().pk, "label": "v10", "digest": "sha256:10", "lifecycle": "retired", "is_strategic": "on"}
    assert saved(admin.post(address(Version, "change", version.pk), values))
    version.refresh_from_db()
    assert (version.artefact, version.label, version.digest, version.lifecycle, version.is_strategic) == (artefact, "v9", "sha256:9", "live", True)
    assert [event for event, _, _ in events()] == ["version.registered", "registry.version.changed"]
    assert [(event, data["fields"]) for event, _, data in events()[1:]] == [
        ("registry.version.changed", [{"field": "is_strategic", "before": False, "after": True}])
    ]


def test_days_of_a_hold_are_recorded_and_nonsense_is_refused(admin: Client) -> None:
    artefact = ArtefactFactory()
    values = {"name": artefact.name, "team": artefact.team.pk, "stakes": artefact.stakes}
    for nonsense in ("0", "-1", "367", "a week", ""):
        assert "hold_days" in errors_of(admin.post(address(Artefact, "change", artefact.pk), values | {"hold_days": nonsense}))
    assert events() == []
    assert saved(admin.post(address(Artefact, "change", artefact.pk), values | {"hold_days": "30"}))
    artefact.refresh_from_db()
    assert artefact.hold_days == 30
    assert events()[0][2]["fields"] == [{"field": "hold_days", "before": 7, "after": 30}]


def test_version_in_a_policy_cannot_be_deleted_and_an_unused_one_can(admin: Client) -> None:
    policy = RoutingPolicyFactory()
    used, unused = policy.artefact.versions.first(), VersionFactory(artefact=policy.artefact)
    assert not saved(admin.post(address(Version, "delete", used.pk), {"post": "yes"}))
    assert saved(admin.post(address(Version, "delete", unused.pk), {"post": "yes"}))
    assert Version.objects.filter(pk=used.pk).exists()
    assert [(event, subject) for event, subject, _ in events()] == [("registry.version.deleted", str(unused.pk))]


def test_environment_keeps_its_slug_and_kind(admin: Client) -> None:
    environment = EnvironmentFactory(slug="staging")
    assert saved(admin.post(address(Environment, "change", environment.pk), {"slug": "production", "kind": "production", "name": "Rehearsal"}))
    environment.refresh_from_db()
    assert (environment.slug, environment.kind, environment.name) == ("staging", "staging", "Rehearsal")


def connection_values(environment: Environment, settings: Any, connector: str = "prometheus") -> dict[str, Any]:
    """The form of a connection."""
    return {"environment": environment.pk, "connector": connector, "settings": settings if isinstance(settings, str) else json.dumps(settings)}


def test_connection_change_is_recorded_with_its_settings(admin: Client) -> None:
    connection = ConnectionFactory()
    before = connection.settings["endpoint"]
    after = "http://127.0.0.1:18400/metrics"
    assert saved(admin.post(address(Connection, "change", connection.pk), connection_values(connection.environment, {"endpoint": after})))
    connection.refresh_from_db()
    assert connection.settings == {"endpoint": after}
    ((event, _, data),) = events()
    assert event == "registry.connection.changed"
    assert data["fields"] == [{"field": "settings", "before": json.dumps({"endpoint": before}), "after": json.dumps({"endpoint": after})}]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoint": "http://127.0.0.1:1/", "password": "hunter2"}, "must not hold a secret: see password"),
        ({"endpoint": "http://127.0.0.1:1/", "headers": [{"Authorization": "x"}]}, "must not hold a secret: see headers.0.Authorization"),
        ({"endpoint": "http://me:hunter2@127.0.0.1:1/"}, "must not hold a secret: see endpoint"),
        ({}, "Name the server, or a plain endpoint: one of the two."),
        ({"endpoint": ""}, "endpoint: "),
        ({"endpoint": "http://127.0.0.1:1/", "colour": "red"}, "colour: There is no such name here; there are endpoint, server"),
        ("{", "Enter a valid JSON"),
        ([1], "prometheus connection cannot be used. It must be a mapping"),
        ("null", "prometheus connection cannot be used. It must be a mapping"),
    ],
)
def test_connection_with_secret_or_nonsense_is_refused(admin: Client, settings: Any, says: str) -> None:
    environment = EnvironmentFactory()
    answer = admin.post(address(Connection, "add"), connection_values(environment, settings))
    assert says in errors_of(answer)
    assert not Connection.objects.exists()
    assert events() == []


SECRET = "hunter2-Qx81-never-shown"


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "http://127.0.0.1:1/", "password": SECRET},
        {"endpoint": "http://127.0.0.1:1/", "token_ref": SECRET},
        {"endpoint": f"http://me:{SECRET}@127.0.0.1:1/"},
        {"endpoint": SECRET},
        {"endpoint": "http://127.0.0.1:1/", "auth": SECRET},
        {"endpoint": "http://127.0.0.1:1/", "headers": [{"Authorization": SECRET}]},
        SECRET,
        f'{{"token_ref": {SECRET}}}',
        f'{{"password": "{SECRET}"',
    ],
)
def test_secret_that_is_refused_does_not_come_back_in_the_page(settings: Any, admin: Client) -> None:
    answer = admin.post(address(Connection, "add"), connection_values(EnvironmentFactory(), settings))
    assert answer.status_code == 200
    assert "settings" in answer.context["adminform"].form.errors
    assert SECRET not in answer.content.decode()
    assert not Connection.objects.exists()


@pytest.mark.parametrize("settings", [{"password": SECRET}, {"token_ref": SECRET}, {"endpoint": f"http://me:{SECRET}@127.0.0.1:1/"}])
def test_secret_does_not_come_back_in_the_page_when_something_else_is_refused(settings: Any, admin: Client) -> None:
    answer = admin.post(address(Connection, "add"), connection_values(EnvironmentFactory(), settings, connector="telepathy"))
    assert "connector" in answer.context["adminform"].form.errors
    assert SECRET not in answer.content.decode()


def test_connection_of_unknown_connector_is_refused(admin: Client) -> None:
    answer = admin.post(address(Connection, "add"), connection_values(EnvironmentFactory(), {}, connector="telepathy"))
    assert "connector" in errors_of(answer)


def test_second_connection_of_a_connector_has_a_name_of_its_own(admin: Client) -> None:
    environment = EnvironmentFactory()
    for name in ("", "old", "new"):
        assert saved(admin.post(address(Connection, "add"), {**connection_values(environment, {"root": "/srv/tables"}, "delta"), "name": name}))
    again = admin.post(address(Connection, "add"), {**connection_values(environment, {"root": "/srv/tables"}, "delta"), "name": "old"})
    assert "The environment has a connection of this name." in errors_of(again)
    assert [connection.key for connection in Connection.objects.order_by("pk")] == ["delta", "old", "new"]


def test_connection_that_was_stored_with_a_secret_is_recorded_without_it(admin: Client) -> None:
    connection = ConnectionFactory(settings={"endpoint": "http://me:hunter2@127.0.0.1:1/", "api_key": "hunter3"})
    assert saved(admin.post(address(Connection, "change", connection.pk), connection_values(connection.environment, {"endpoint": "http://127.0.0.1:1/"})))
    assert "hunter" not in str(events())
    assert "[not recorded]" in str(events())


def test_procedure_version_is_the_next_by_the_domains_function(admin: Client) -> None:
    first = ProcedureVersionFactory()
    steps = WEIGHT_FLIP[:-2]
    answer = admin.get(address(ProcedureVersion, "add"), {"procedure": first.procedure.pk})
    assert answer.context["adminform"].form.initial["steps"] == first.steps
    assert saved(admin.post(address(ProcedureVersion, "add"), {"procedure": first.procedure.pk, "steps": json.dumps(steps)}))
    latest = first.procedure.versions.first()
    assert (latest.number, latest.steps) == (first.number + 1, steps)
    assert latest.content_hash != first.content_hash
    assert [event for event, _, _ in events()] == ["procedure.version_appended"]


@pytest.mark.parametrize("steps", ["[]", "{}", "[1]", '[{"key": "x"}]', json.dumps([{**WEIGHT_FLIP[0], "action": "rm_rf"}]), json.dumps([WEIGHT_FLIP[0]] * 2)])
def test_procedure_version_that_cannot_run_is_refused(admin: Client, steps: str) -> None:
    first = ProcedureVersionFactory()
    assert "steps" in errors_of(admin.post(address(ProcedureVersion, "add"), {"procedure": first.procedure.pk, "steps": steps}))
    assert first.procedure.versions.first() == first
    assert events() == []


def test_procedure_version_can_be_neither_changed_nor_deleted(admin: Client) -> None:
    first = ProcedureVersionFactory()
    assert admin.post(address(ProcedureVersion, "change", first.pk), {"procedure": first.procedure.pk, "steps": "[]"}).status_code == 403
    assert admin.post(address(ProcedureVersion, "delete", first.pk), {"post": "yes"}).status_code == 403
    assert admin.post(address(Procedure, "delete", first.procedure.pk), {"post": "yes"}).status_code == 403


def person_values(person: User, **changes: Any) -> dict[str, Any]:
    """The form of a person as they are, but for the changes."""
    values: dict[str, Any] = {name: getattr(person, name) for name in ("username", "email", "first_name", "last_name", "timezone")}
    return values | {"is_active": "on", "roles": sorted(person.roles)} | changes


def test_person_added_has_roles_and_is_recorded_without_password(admin: Client) -> None:
    values = {"username": "ana", "email": "ana@example.org", "timezone": "UTC", "roles": ["auditor"], "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert saved(admin.post(address(User, "add"), values))
    person = User.objects.get(username="ana")
    assert person.roles == {"auditor"}
    assert person.check_password(NEW_PASSWORD)
    assert [event for event, _, _ in events()] == ["accounts.person_created", "accounts.role_granted"]
    assert NEW_PASSWORD not in str(events())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password1": "short", "password2": "short"}, "password"),
        ({"email": "LEAD@example.org"}, "e-mail"),
        ({"roles": ["emperor"]}, "roles"),
        ({"username": "lead"}, "username"),
    ],
)
def test_person_that_cannot_be_added_is_refused(admin: Client, changes: dict[str, Any], field: str) -> None:
    values = {"username": "ana", "email": "ana@example.org", "timezone": "UTC", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert field in errors_of(admin.post(address(User, "add"), values | changes))
    assert not User.objects.filter(username="ana").exists()
    assert events() == []


def test_roles_are_granted_and_revoked_by_the_domains_functions(admin: Client, cast: Cast) -> None:
    assert saved(admin.post(address(User, "change", cast.lead.pk), person_values(cast.lead, roles=["auditor", "admin"])))
    lead = User.objects.get(pk=cast.lead.pk)
    assert lead.roles == {"auditor", "admin"}
    assert (lead.is_staff, lead.is_superuser) == (True, True)
    assert [(event, data["role"]) for event, _, data in events()] == [
        ("accounts.role_revoked", "platform_lead"),
        ("accounts.role_granted", "auditor"),
        ("accounts.role_granted", "admin"),
    ]


def test_person_changed_is_recorded_each_change_as_what_it_is(admin: Client, cast: Cast) -> None:
    values = person_values(cast.lead, first_name="Leonora", email="leonora@example.org")
    del values["is_active"]
    assert saved(admin.post(address(User, "change", cast.lead.pk), values))
    lead = User.objects.get(pk=cast.lead.pk)
    assert (lead.first_name, lead.email, lead.is_active) == ("Leonora", "leonora@example.org", False)
    assert [(event, data.get("fields")) for event, _, data in events()] == [
        ("accounts.user.changed", [{"field": "first_name", "before": "Lee", "after": "Leonora"}]),
        ("accounts.email_changed", None),
        ("accounts.person_deactivated", None),
    ]


@pytest.mark.parametrize("changes", [{"roles": []}, {"is_active": ""}])
def test_last_administrator_cannot_lock_everybody_out(admin: Client, cast: Cast, changes: dict[str, Any]) -> None:
    answer = admin.post(address(User, "change", cast.admin.pk), person_values(cast.admin, first_name="Changed") | changes, follow=True)
    assert "is the only administrator who can sign in" in answer.content.decode()
    found = User.objects.get(pk=cast.admin.pk)
    assert (found.roles, found.is_active, found.first_name) == (frozenset({"admin"}), True, "Adam")
    assert events() == []


def test_service_account_has_a_person_who_answers_for_it(admin: Client, cast: Cast) -> None:
    bot = UserFactory(username="bot", roles=[Role.ON_CALL])
    assert saved(admin.post(address(User, "change", bot.pk), person_values(bot, responsible=cast.lead.pk)))
    bot.refresh_from_db()
    assert (bot.responsible, bot.is_service) == (cast.lead, True)
    assert saved(admin.post(address(User, "change", bot.pk), person_values(bot, responsible="")))
    assert events() == [
        ("accounts.responsible_changed", str(bot.pk), {"username": "bot", "before": None, "after": "lead"}),
        ("accounts.responsible_changed", str(bot.pk), {"username": "bot", "before": "lead", "after": None}),
    ]


@pytest.mark.parametrize("who", ["itself", "a service account", "inactive", "counted on", "last administrator"])
def test_service_account_of_nobody_who_can_answer_is_refused(admin: Client, cast: Cast, who: str) -> None:
    bot, other = UserFactory(username="bot"), UserFactory(username="other")
    account: User = bot
    person, said = other, ""
    if who == "itself":
        person, said = bot, "answers for a service account"
    elif who == "a service account":
        User.objects.filter(pk=other.pk).update(responsible=cast.lead)
        said = "answers for a service account"
    elif who == "inactive":
        User.objects.filter(pk=other.pk).update(is_active=False)
        said = "a person who can sign in answers for a service account"
    elif who == "counted on":
        User.objects.filter(pk=cast.lead.pk).update(responsible=bot)
        said = "answers for service accounts, so it cannot be one"
    else:
        account, said = cast.admin, "is the only administrator who can sign in"
    answer = admin.post(address(User, "change", account.pk), person_values(account, responsible=person.pk), follow=True)
    assert said in answer.content.decode()
    account.refresh_from_db()
    assert account.responsible is None
    assert events() == []


def rule_values(**changes: Any) -> dict[str, Any]:
    """The form of a row of the authority table."""
    return {"role": "platform_lead", "tell_next_after_seconds": "300", "expires_after_seconds": "3600"} | changes


def test_authority_rule_is_changed_by_the_domains_function_with_before_and_after(admin: Client) -> None:
    rule = AuthorityRule.objects.get(subject="prompt")
    before = {"role": rule.role, "tell_next_after_seconds": rule.tell_next_after_seconds, "expires_after_seconds": rule.expires_after_seconds}
    values = rule_values(subject="strategic", tell_next_after_seconds="120")
    assert saved(admin.post(address(AuthorityRule, "change", rule.pk), values))
    rule.refresh_from_db()
    assert (rule.subject, rule.role, rule.tell_next_after_seconds) == ("prompt", "platform_lead", 120)
    after = {"role": "platform_lead", "tell_next_after_seconds": 120, "expires_after_seconds": 3600}
    assert events() == [("authority.rule_changed", "prompt", {"before": before, "after": after})]
    # The same again changes nothing.
    assert saved(admin.post(address(AuthorityRule, "change", rule.pk), values))
    assert len(events()) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role": "auditor"}, "role"),
        ({"role": "admin"}, "role"),
        ({"role": ""}, "role"),
        ({"tell_next_after_seconds": "0"}, "expires_after_seconds"),
        ({"tell_next_after_seconds": "3600"}, "expires_after_seconds"),
        ({"tell_next_after_seconds": "-5"}, "tell_next_after_seconds"),
        ({"tell_next_after_seconds": "soon"}, "tell_next_after_seconds"),
        ({"expires_after_seconds": "60"}, "expires_after_seconds"),
        ({"expires_after_seconds": "604801"}, "expires_after_seconds"),
        ({"expires_after_seconds": "99999999999"}, "expires_after_seconds"),
    ],
)
def test_authority_rule_that_makes_no_sense_is_refused_at_its_field(admin: Client, changes: dict[str, str], field: str) -> None:
    rule = AuthorityRule.objects.get(subject="dataset")
    before = AuthorityRule.objects.values().get(pk=rule.pk)
    answer = admin.post(address(AuthorityRule, "change", rule.pk), rule_values(**changes))
    assert field in json.loads(errors_of(answer))
    assert AuthorityRule.objects.values().get(pk=rule.pk) == before
    assert events() == []


def test_authority_table_has_its_seven_subjects_and_no_other(admin: Client) -> None:
    rule = AuthorityRule.objects.get(subject="strategic")
    assert AuthorityRule.objects.count() == 7
    assert admin.post(address(AuthorityRule, "add"), rule_values(subject="weather")).status_code == 403
    assert admin.post(address(AuthorityRule, "delete", rule.pk), {"post": "yes"}).status_code == 403
    admin.post(address(AuthorityRule, "changelist"), {"action": "delete_selected", "_selected_action": [rule.pk], "post": "yes"})
    assert AuthorityRule.objects.count() == 7
    assert events() == []


def test_time_zone_that_does_not_exist_is_refused(admin: Client, cast: Cast) -> None:
    assert "no time zone" in errors_of(admin.post(address(User, "change", cast.lead.pk), person_values(cast.lead, timezone="Mars/Olympus")))
    assert User.objects.get(pk=cast.lead.pk).timezone == "UTC"


def test_flags_of_djangos_admin_cannot_be_posted(admin: Client, cast: Cast) -> None:
    assert saved(admin.post(address(User, "change", cast.lead.pk), person_values(cast.lead, is_staff="on", is_superuser="on", password="x")))
    lead = User.objects.get(pk=cast.lead.pk)
    assert (lead.is_staff, lead.is_superuser, lead.password) == (False, False, cast.lead.password)
    assert events() == []


def test_person_cannot_be_deleted(admin: Client, cast: Cast) -> None:
    assert admin.post(address(User, "delete", cast.stranger.pk), {"post": "yes"}).status_code == 403
    admin.post(address(User, "changelist"), {"action": "delete_selected", "_selected_action": [cast.stranger.pk], "post": "yes"})
    assert User.objects.filter(pk=cast.stranger.pk).exists()


def test_password_set_by_administrator_is_recorded_not_what_it_is(admin: Client, cast: Cast) -> None:
    page = f"/admin/accounts/user/{cast.lead.pk}/password/"
    values = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert saved(admin.post(page, values))
    assert User.objects.get(pk=cast.lead.pk).check_password(NEW_PASSWORD)
    assert events() == [("accounts.password_set", str(cast.lead.pk), {"username": "lead"})]


def test_password_that_is_too_weak_is_refused(admin: Client, cast: Cast) -> None:
    page = f"/admin/accounts/user/{cast.lead.pk}/password/"
    assert not saved(admin.post(page, {"password1": "short", "password2": "short", "usable_password": "true"}))
    assert User.objects.get(pk=cast.lead.pk).password == cast.lead.password
    assert events() == []


def test_tokens_are_revoked_from_the_list(admin: Client, cast: Cast) -> None:
    tokens = ApiTokenFactory.create_batch(2, user=cast.lead)
    kept = ApiTokenFactory(user=cast.lead)
    answer = admin.post(address(ApiToken, "changelist"), {"action": "revoke_selected", "_selected_action": [token.pk for token in tokens]})
    assert saved(answer)
    assert list(ApiToken.objects.all()) == [kept]
    assert [event for event, _, _ in events()] == ["accounts.token_revoked"] * 2
    assert not [token for token in tokens if token.plain in str(events())]


def test_change_and_its_record_come_together_or_not_at_all(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("the audit log is full")

    monkeypatch.setattr("rollbackhub.accounts.audited_admin.record", broken)
    target = SpeedTarget.objects.get(change_type="prompt")
    with pytest.raises(RuntimeError):
        admin.post(address(SpeedTarget, "change", target.pk), {"seconds": "240"})
    target.refresh_from_db()
    assert target.seconds == 300


def test_long_lists_are_not_counted(admin: Client, django_assert_max_num_queries: Any) -> None:
    UserFactory(roles=[Role.AUDITOR])
    ExecutionFactory.create_batch(3, passed=True)
    with django_assert_max_num_queries(14) as captured:
        assert admin.get(address(Execution, "changelist")).status_code == 200
    assert not [query for query in captured.captured_queries if "COUNT(*)" in query["sql"] and "executions_execution" in query["sql"]]


def test_audit_events_are_filtered_by_kind_of_actor_without_looking_through_all(admin: Client, django_assert_max_num_queries: Any) -> None:
    AuditEventFactory()
    AuditEventFactory(actor_kind="person")
    with django_assert_max_num_queries(14) as captured:
        answer = admin.get(address(AuditEvent, "changelist"), {"actor_kind": "person"})
    assert {event.actor_kind for event in answer.context["cl"].result_list} == {"person"}
    assert not [query for query in captured.captured_queries if "DISTINCT" in query["sql"]]


@pytest.mark.parametrize("hidden", ["\x00", "\x01", "\u202e", "\n"], ids=ascii)
@pytest.mark.parametrize("model", [Team, Artefact, Environment, Connection, User], ids=lambda model: model.__name__)
def test_text_that_cannot_be_shown_is_refused(model: Any, hidden: str, admin: Client) -> None:
    text = f"Se{hidden}arch"
    values: dict[Any, dict[str, Any]] = {
        Team: {"slug": "search", "name": text},
        Artefact: {"slug": "assistant", "name": text, "change_type": "model", "team": TeamFactory().pk, "stakes": "high", "hold_days": "7"},
        Environment: {"slug": "third", "name": text, "kind": "staging"},
        Connection: connection_values(EnvironmentFactory(), {"endpoint": f"http://127.0.0.1:18400/{text}"}) | {"name": "third"},
        User: {"username": "new", "first_name": text, "timezone": "UTC", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    }
    before = model.objects.count()
    if model is Connection and hidden == "\n":
        pytest.skip("settings may have lines")
    assert errors_of(admin.post(address(model, "add"), values[model])) != "{}"
    assert model.objects.count() == before
    assert events() == []
