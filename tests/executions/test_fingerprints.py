"""A change of any part of a rollback path, alone, turns its proof stale and is named; what does not matter leaves it valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.domain.runbooks import forget_runbook, read_runbook
from rollbackhub.executions.enums import ProofState
from rollbackhub.executions.fingerprints import canonical_hash, fingerprint, path_changes
from rollbackhub.executions.models import Procedure
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.models import Artefact, Connection, Version
from rollbackhub.routing.domain.yaml_io import import_policies
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.common.servers import answers, http, tcp_server
from tests.executions.proofs import ACTOR, NEXT, OLD, Proven, candidate_id, make_proven, spec
from tests.factories.registry import ConnectionFactory, EnvironmentFactory
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory

Change = Callable[[Proven], None]


@pytest.fixture
def proven(db: None) -> Proven:
    made = make_proven()
    assert made.proof().state == ProofState.VALID
    return made


def add_step(proven: Proven) -> None:
    proven.write_steps([*WEIGHT_FLIP, {"key": "again", "title": "Look again", "action": "verify", "segment": "verify"}])


def change_param(proven: Proven) -> None:
    proven.write_steps([{**step, "params": {**step["params"], "window_seconds": 6}} if step["key"] == "verify" else step for step in WEIGHT_FLIP])


def reorder_steps(proven: Proven) -> None:
    swapped = list(WEIGHT_FLIP)
    swapped[5], swapped[6] = swapped[6], swapped[5]
    proven.write_steps(swapped)


def retitle_step(proven: Proven) -> None:
    proven.write_steps([{**step, "title": "Flip it"} if step["key"] == "flip" else step for step in WEIGHT_FLIP])


def other_target(proven: Proven) -> None:
    proven.revise([spec(BAD, 25), spec(GOOD, 0), spec(OLD, 75)])


def no_target(proven: Proven) -> None:
    proven.revise([spec(BAD, 100)])


def other_digest(proven: Proven) -> None:
    Version.objects.filter(artefact=proven.artefact, label=GOOD).update(digest="sha256:" + "f" * 64)


def add_candidate(proven: Proven) -> None:
    proven.revise([*proven.candidates(), spec(NEXT, 0)])


def remove_candidate(proven: Proven) -> None:
    proven.revise([spec(BAD, 25), spec(GOOD, 75)])


def rename_candidate(proven: Proven) -> None:
    proven.revise([spec(BAD, 25), spec(GOOD, 75), CandidateSpec("bedrock:old:eu", OLD, 0)])


def repin_candidate(proven: Proven) -> None:
    proven.revise([spec(BAD, 25), spec(GOOD, 75), CandidateSpec(candidate_id(OLD), NEXT, 0)])


def nested_admin_in_staging(proven: Proven) -> None:
    proven.connect("staging", "envoy", {"admins": {"staging-1": "http://a:1", "staging-2": "http://c:1"}})


def nested_admin_in_production(proven: Proven) -> None:
    proven.connect("production", "envoy", {"admins": {"production-1": "http://z:9", "production-2": "http://b:1"}})


def admin_removed(proven: Proven) -> None:
    proven.connect("production", "envoy", {"admins": {"production-1": "http://a:1"}})


def metrics_endpoint(proven: Proven) -> None:
    proven.connect("staging", "prometheus", {"endpoint": "http://other/metrics", "requests": "llm_requests_total"})


def metric_added(proven: Proven) -> None:
    settings = {"endpoint": "http://production/metrics", "requests": "llm_requests_total", "duration": "seconds"}
    proven.connect("production", "prometheus", settings)


def connector_removed(proven: Proven) -> None:
    Connection.objects.get(environment__slug="staging", connector="prometheus").delete()


def runbook_rewritten(proven: Proven) -> None:
    with tcp_server(answers(http("200 OK", b"# Roll back like this"))) as server:
        Procedure.objects.filter(pk=proven.procedure.pk).update(runbook_url=server.url)
        assert read_runbook(procedure_id=proven.procedure.pk, url=server.url)


def runbook_taken_away(proven: Proven) -> None:
    Procedure.objects.filter(pk=proven.procedure.pk).update(runbook_url="")
    assert forget_runbook(procedure_id=proven.procedure.pk, url="", actor=ACTOR)


PROCEDURE = ("procedure", "procedure", "Model: route weight shift v", "Model: route weight shift v")
HIDDEN = "sha256:aaaaaaaaaaaa…"
CHANGES: list[tuple[Change, list[tuple[str, str, str, str]]]] = [
    (add_step, [PROCEDURE]),
    (change_param, [PROCEDURE]),
    (reorder_steps, [PROCEDURE]),
    (retitle_step, [PROCEDURE]),
    (other_target, [("target", "version", GOOD, OLD)]),
    (no_target, [("target", "version", GOOD, "none")]),
    (other_digest, [("target", f"digest of {GOOD}", "sha256:", "sha256:ffffffffffff…")]),
    (add_candidate, [("candidates", candidate_id(NEXT), "none", NEXT)]),
    (remove_candidate, [("candidates", candidate_id(OLD), OLD, "none")]),
    (rename_candidate, [("candidates", candidate_id(OLD), OLD, "none"), ("candidates", "bedrock:old:eu", "none", OLD)]),
    (repin_candidate, [("candidates", candidate_id(OLD), OLD, NEXT)]),
    (nested_admin_in_staging, [("connections", "staging / envoy / admins / staging-2", "http://b:1", "http://c:1")]),
    (nested_admin_in_production, [("connections", "production / envoy / admins / production-1", "http://a:1", "http://z:9")]),
    (admin_removed, [("connections", "production / envoy / admins / production-2", "http://b:1", "none")]),
    (metrics_endpoint, [("connections", "staging / prometheus / endpoint", "http://staging/metrics", "http://other/metrics")]),
    (metric_added, [("connections", "production / prometheus / duration", "none", "seconds")]),
    (connector_removed, [("connections", "staging / prometheus", '{"endpoint":"http://staging/metrics"', "none")]),
    (runbook_rewritten, [("runbook", "content", HIDDEN, "sha256:")]),
    (runbook_taken_away, [("runbook", "content", HIDDEN, "not known")]),
]


@pytest.mark.parametrize(("change", "wanted"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_each_change_alone_turns_the_proof_stale_and_is_named(change: Change, wanted: list[tuple[str, str, str, str]], proven: Proven) -> None:
    change(proven)
    proof = proven.proof()
    assert proof.state == ProofState.STALE
    found = sorted((entry.part, entry.what, entry.old, entry.new) for entry in proof.changes)
    assert len(found) == len(wanted), found
    for (part, what, old, new), expected in zip(found, sorted(wanted), strict=True):
        assert (part, what) == expected[:2]
        assert old.startswith(expected[2]), old
        assert new.startswith(expected[3]), new
        assert old != new
    assert proof.run is not None
    assert proof.run.execution_id == proven.drill.pk
    assert all(entry.in_words in proof.in_words for entry in proof.changes)


def import_yaml(proven: Proven) -> None:
    text = f"""\
# Somebody tidied this file up.
aliases:
  smart-reasoner:
    candidates:
      - weight: 25 # the canary
        version_pin: {BAD}
        id: {candidate_id(BAD)}
      - version_pin: {GOOD}
        id: "{candidate_id(GOOD)}"
        weight: 75
      - {{weight: 0, id: {candidate_id(OLD)}, version_pin: {OLD}}}
"""
    import_policies(environment=proven.production.environment, text=text, actor=ACTOR, reason="tidy")


def import_with_other_weights(proven: Proven) -> None:
    text = f"""\
aliases:
  smart-reasoner:
    candidates:
      - {{weight: 5, id: {candidate_id(BAD)}, version_pin: {BAD}}} # less
      - {{weight: 95, id: {candidate_id(GOOD)}, version_pin: {GOOD}}}
      - {{weight: 0, id: {candidate_id(OLD)}, version_pin: {OLD}}}
"""
    assert len(import_policies(environment=proven.production.environment, text=text, actor=ACTOR, reason="less")) == 1


def weights_only(proven: Proven) -> None:
    proven.revise([spec(BAD, 10), spec(GOOD, 90), spec(OLD, 0)])


def order_of_candidates(proven: Proven) -> None:
    proven.revise([spec(OLD, 0), spec(GOOD, 75), spec(BAD, 25)])


def order_of_keys(proven: Proven) -> None:
    proven.connect("production", "prometheus", {"requests": "llm_requests_total", "endpoint": "http://production/metrics"})
    proven.connect("staging", "envoy", {"admins": {"staging-2": "http://b:1", "staging-1": "http://a:1"}})


def same_procedure_again(proven: Proven) -> None:
    add_step(proven)
    proven.write_steps([dict(reversed(step.items())) for step in WEIGHT_FLIP])


def procedure_renamed(proven: Proven) -> None:
    Procedure.objects.filter(pk=proven.procedure.pk).update(name="Another name")


def artefact_renamed(proven: Proven) -> None:
    Artefact.objects.filter(pk=proven.artefact.pk).update(name="Another name", hold_days=3)


def connection_elsewhere(proven: Proven) -> None:
    ConnectionFactory(environment=EnvironmentFactory(slug="sandbox"), connector="envoy", settings={"admins": {"x": "http://x:1"}})


def connection_that_the_path_does_not_use(proven: Proven) -> None:
    proven.connect("production", "deploy", {"pipeline": "reasoner"})


def other_alias(proven: Proven) -> None:
    RoutingPolicyFactory(environment=proven.production.environment, alias="another", artefact=proven.artefact)


def other_procedure(proven: Proven) -> None:
    append_procedure_version(procedure=Procedure.objects.get(change_type="prompt", connector=""), steps=WEIGHT_FLIP[4:], actor=ACTOR)


def digest_of_another_version(proven: Proven) -> None:
    Version.objects.filter(artefact=proven.artefact, label=OLD).update(digest="sha256:" + "e" * 64)


def runbook_unreachable(proven: Proven) -> None:
    with tcp_server(answers(http("404 Not Found"))) as server:
        Procedure.objects.filter(pk=proven.procedure.pk).update(runbook_url=server.url)
        assert read_runbook(procedure_id=proven.procedure.pk, url=server.url)


NO_CHANGES: list[Change] = [
    import_yaml,
    import_with_other_weights,
    connection_that_the_path_does_not_use,
    weights_only,
    order_of_candidates,
    order_of_keys,
    same_procedure_again,
    procedure_renamed,
    artefact_renamed,
    connection_elsewhere,
    other_alias,
    other_procedure,
    digest_of_another_version,
    runbook_unreachable,
]


@pytest.mark.parametrize("change", NO_CHANGES, ids=[change.__name__ for change in NO_CHANGES])
def test_what_does_not_matter_leaves_the_proof_valid(change: Change, proven: Proven) -> None:
    change(proven)
    proof = proven.proof()
    assert (proof.state, proof.changes) == (ProofState.VALID, [])
    assert "nothing has changed since" in proof.in_words


def test_what_is_changed_back_is_proven_again(proven: Proven) -> None:
    nested_admin_in_staging(proven)
    assert proven.proof().state == ProofState.STALE
    proven.connect("staging", "envoy", {"admins": {"staging-1": "http://a:1", "staging-2": "http://b:1"}})
    assert proven.proof().state == ProofState.VALID


def test_environment_where_the_alias_does_not_live_counts_once_it_does(proven: Proven) -> None:
    connection_elsewhere(proven)
    RoutingPolicyFactory(environment__slug="sandbox", alias="smart-reasoner", artefact=proven.artefact, revision={BAD: 25, GOOD: 75})
    assert proven.proof().state == ProofState.VALID, "what was proven in staging for production does not hang on a third environment"


def test_several_changes_are_all_named(proven: Proven) -> None:
    for change in (change_param, other_digest, repin_candidate, nested_admin_in_production, runbook_rewritten):
        change(proven)
    assert [entry.part for entry in proven.proof().changes] == ["procedure", "target", "candidates", "connections", "runbook"]


def test_secrets_are_no_part_of_a_path_and_are_shown_nowhere(proven: Proven) -> None:
    """Settings hold none; one that somebody put there past the forms must not travel into plans, proofs or pages."""
    prints = set()
    for number in range(2):
        endpoint = f"http://user:hunter{number}@production/metrics"
        settings = {"endpoint": endpoint, "requests": "n", "password": f"secret-{number}", "nested": {"api_key": f"key-{number}"}}
        proven.connect("production", "prometheus", settings)
        policy = RoutingPolicy.objects.select_related("environment", "artefact").get(pk=proven.production.pk)
        found = paths_of([policy])[policy.pk]
        prints.add(found.fingerprint)
        shown = json.dumps(found.path) + proven.proof().in_words
        for secret in (f"hunter{number}", f"secret-{number}", f"key-{number}"):
            assert secret not in shown
    assert len(prints) == 1, "a rotated secret unproves nothing"


# Pure.


def path(**values: Any) -> dict[str, Any]:
    """A small path."""
    base = {
        "alias": "a",
        "procedure": {"name": "p v1", "hash": "h"},
        "runbook": "",
        "target": {"v1": "d"},
        "candidates": {"c": "v1"},
        "connections": {"staging": {"envoy": {"x": 1}}},
    }
    return {**base, **values}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"x": None}, {}, "connections (staging / envoy / x): null → none"),
        ({"x": 1}, {"x": True}, "connections (staging / envoy / x): 1 → true"),
        ({"x": [1]}, {"x": [True]}, "connections (staging / envoy / x): [1] → [true]"),
        ({"x": "1"}, {"x": 1}, "connections (staging / envoy / x): 1 → 1"),
        ({"x": {}}, {"x": []}, "connections (staging / envoy / x): {} → []"),
        ({"x": 2**60}, {"x": 2**60 + 1}, f"connections (staging / envoy / x): {2**60} → {2**60 + 1}"),
    ],
)
def test_small_differences_are_differences(old: dict[str, Any], new: dict[str, Any], words: str) -> None:
    then, now = (path(connections={"staging": {"envoy": settings}}) for settings in (old, new))
    assert fingerprint(then) != fingerprint(now)
    assert [change.in_words for change in path_changes(then, now, environments=["staging"])] == [words]


def test_numbers_that_are_the_same_in_json_are_the_same() -> None:
    then, now = (path(connections={"staging": {"envoy": {"x": value}}}) for value in (1, 1.0))
    assert fingerprint(then) == fingerprint(now)
    assert path_changes(then, now, environments=["staging"]) == []


def test_long_values_are_shown_where_they_differ() -> None:
    then, now = (path(connections={"staging": {"envoy": {"x": "a" * 500 + letter + "c" * 500}}}) for letter in "bd")
    (change,) = path_changes(then, now, environments=["staging"])
    assert "b" in change.old
    assert "d" in change.new
    assert max(len(change.old), len(change.new)) < 130


def test_digests_that_begin_alike_are_shown_whole() -> None:
    then, now = (path(target={"v1": f"sha256:claude-sonnet-4-5-{end}"}) for end in "xy")
    (change,) = path_changes(then, now, environments=["staging"])
    assert (change.old, change.new) == ("sha256:claude-sonnet-4-5-x", "sha256:claude-sonnet-4-5-y")


def test_shared_hashes_of_settings_give_the_same_fingerprint() -> None:
    found = path()
    assert fingerprint(found) == fingerprint(found, settings_hashes={("staging", "envoy"): canonical_hash({"x": 1})})
