"""A YAML file that pins the version: one scalar changes, and not a byte beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rollbackhub.connectors.git import GitConnector
from rollbackhub.connectors.git.yaml_field import FieldUnusable, read_field, set_field
from rollbackhub.connectors.mechanism import Change, ProblemCode, ProblemFound, VersionRef
from tests.connectors.git_repositories import Bare, bare_repository, shares

PINS = """\
# Who changes this: the release team
agent:
    image:   registry/agent     # two spaces are meant
    tag: "2.0.0"   # the version

    env:
      - name: A
        value: '1'
      -   {name: B,   value: x}
zeta: 1
alpha: 2
"""
V1, V2 = VersionRef("1.9.0", digest="sha256:aaa"), VersionRef("2.0.0", digest="sha256:bbb")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    bare = bare_repository(tmp_path)
    bare.push({"deploy/pins.yaml": PINS})
    return bare


def hub(bare: Bare) -> GitConnector:
    return GitConnector(GitConnector.parse_settings({"remote": bare.remote}), timeout_seconds=20)


def pin(field: str = "agent.tag", value: str = "label", file: str = "deploy/pins.yaml") -> Any:
    return GitConnector.parse_target({"file": file, "field": field, "value": value})


def apply(bare: Bare, at: Any, *, wanted: VersionRef = V1, before: VersionRef = V2, key: str = "k") -> Any:
    return hub(bare).apply(target=at, before=shares(before), wanted=shares(wanted), key=key, reason="because")


def test_field_is_set_and_every_other_byte_stays(bare: Bare) -> None:
    assert hub(bare).preflight(target=pin(), before=shares(V2), wanted=shares(V1)) == []
    assert hub(bare).plan(target=pin(), wanted=shares(V1)) == [Change("agent.tag in deploy/pins.yaml", "2.0.0", "1.9.0")]
    assert apply(bare, pin()).changed
    assert bare.show("deploy/pins.yaml") == PINS.replace('"2.0.0"', '"1.9.0"').rstrip("\n")
    assert not apply(bare, pin()).changed
    assert bare.keys() == ["k"]
    assert hub(bare).observe(target=pin(), wanted=shares(V1)).reached
    assert hub(bare).plan(target=pin(), wanted=shares(V1)) == []


def test_others_work_in_the_same_file_is_kept(bare: Bare) -> None:
    bare.push({"deploy/pins.yaml": PINS.replace("zeta: 1", "zeta: 7  # tuned")})
    assert apply(bare, pin()).changed
    assert "zeta: 7  # tuned" in bare.show("deploy/pins.yaml")


def test_field_that_somebody_changed_is_refused_and_shown(bare: Bare) -> None:
    bare.push({"deploy/pins.yaml": PINS.replace("2.0.0", "3.0.0")}, subject="Try three")
    with pytest.raises(ProblemFound, match="Try three") as caught:
        apply(bare, pin())
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    seen = hub(bare).observe(target=pin(), wanted=shares(V1))
    assert (seen.reached, seen.values["found"], seen.values["wanted"]) == (False, "3.0.0", "1.9.0")


@pytest.mark.parametrize(("file", "field"), [("deploy/none.yaml", "agent.tag"), ("deploy/pins.yaml", "agent.gone"), ("deploy/pins.yaml", "agent")])
def test_file_or_field_that_is_gone_is_flag_moved(bare: Bare, file: str, field: str) -> None:
    at = pin(field=field, file=file)
    assert {problem.code for problem in hub(bare).preflight(target=at, before=shares(V2), wanted=shares(V1))} == {ProblemCode.FLAG_MOVED}
    with pytest.raises(ProblemFound) as caught:
        apply(bare, at)
    assert caught.value.problem.code == ProblemCode.FLAG_MOVED


def test_digest_and_commit_can_be_pinned(bare: Bare) -> None:
    bare.push({"d.yaml": "digest: sha256:bbb\n", "c.yaml": "commit: " + "b" * 40 + "\n"})
    assert apply(bare, pin("digest", "digest", "d.yaml")).changed
    assert bare.show("d.yaml") == "digest: sha256:aaa"
    one, two = VersionRef("1", uri="git:" + "a" * 40), VersionRef("2", digest="b" * 40)
    assert apply(bare, pin("commit", "commit", "c.yaml"), wanted=one, before=two, key="k2").changed
    assert bare.show("c.yaml") == "commit: " + "a" * 40


def test_version_without_what_is_pinned_is_refused(bare: Bare) -> None:
    with pytest.raises(ProblemFound, match="a digest on one line"):
        apply(bare, pin(value="digest"), wanted=VersionRef("1"))


@pytest.mark.parametrize(
    ("text", "field", "value", "expected"),
    [
        ("a: 1.9\n", "a", "1.10", "a: 1.10\n"),
        ("a: v1\n", "a", "1.10", 'a: "1.10"\n'),
        ("a: v1\n", "a", "yes: no # x", 'a: "yes: no # x"\n'),
        ("a: 'it''s'\n", "a", "o'clock", "a: 'o''clock'\n"),
        ("a: [x, {b: y}]\n", "a.1.b", "q,z", 'a: [x, {b: "q,z"}]\n'),
        ("a:\r\n  b: x\r\n", "a.b", "y", "a:\r\n  b: y\r\n"),
        ("ä: ü # ö\nb: x", "b", "ß", "ä: ü # ö\nb: ß"),
        ("a: 7\n", "a", "8", "a: 8\n"),
        ("z: 1\na: v  # c\n", "a", ":", 'z: 1\na: ":"  # c\n'),
        ("a: v  # c\n", "a", "x # y", 'a: "x # y"  # c\n'),
        ("a: v\n", "a", " x", 'a: " x"\n'),
        ("a: v\n", "a", "&x y", 'a: "&x y"\n'),
        ("a: v\n", "a", "!!int 7", 'a: "!!int 7"\n'),
        ("a: v\n", "a", "null", 'a: "null"\n'),
    ],
)
def test_value_is_written_as_the_one_before_was(text: str, field: str, value: str, expected: str) -> None:
    changed = set_field(text.encode(), field=field, value=value)
    assert changed.decode() == expected
    assert read_field(changed, field=field) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &x 1\nb: *x\n", "anchor"),
        ("base: &x {a: 1}\na: *x\n", "anchor"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "no a"),
        ("a: 1\n---\na: 2\n", "one YAML document"),
        ("a: 1\na: 2\n", "YAML|twice"),
        ("a: |\n  text\n  more\n", "several lines"),
        ("a: {\n", "YAML"),
        ("- a\n", "no a"),
        ("", "no a"),
        ("a:\n", "without changing more|no a|YAML"),
    ],
)
def test_file_that_cannot_be_changed_in_one_place_is_refused(text: str, why: str) -> None:
    with pytest.raises(FieldUnusable, match=why):
        set_field(text.encode(), field="a", value="2")


def test_file_that_would_expand_without_end_is_read_in_no_time() -> None:
    lines = ["a: v1", "l0: &l0 [x, x, x, x, x, x, x, x, x, x]"] + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert read_field(set_field("\n".join(lines).encode(), field="a", value="v2"), field="a") == "v2"


def test_file_that_is_no_text_or_too_large_is_refused() -> None:
    for content in (b"a: \xff\n", b"a: 1\n" + b"#" * 1_000_001):
        with pytest.raises(FieldUnusable):
            read_field(content, field="a")


@settings(max_examples=300, deadline=None)
@given(value=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40), style=st.sampled_from(["v", "'v'", '"v"', "1", "[v]"]))
def test_any_value_is_read_back_as_it_was_set(value: str, style: str) -> None:
    text = f"# c\nz: 1\na: {style}  # kept\nb: {{c: d}}\n"
    field = "a.0" if style == "[v]" else "a"
    changed = set_field(text.encode(), field=field, value=value)
    assert read_field(changed, field=field) == value
    assert YAML(typ="safe").load(changed)["b"] == {"c": "d"}
    assert changed.decode().startswith("# c\nz: 1\na: ")
    assert changed.decode().endswith("  # kept\nb: {c: d}\n")
