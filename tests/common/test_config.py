"""Environment variables: what is wrong is said with the variable's name, before anything starts."""

from __future__ import annotations

import pytest

from rollbackhub.common.config import LAB_PARTS, load_config
from rollbackhub.lab.parts import PARTS


@pytest.mark.parametrize(("text", "names"), [("auto", ["auto"]), ("git, mlflow", ["git", "mlflow"]), ("none", []), ("", [])])
def test_lab_parts_are_a_list_of_names(monkeypatch: pytest.MonkeyPatch, text: str, names: list[str]) -> None:
    monkeypatch.setenv("LAB_PARTS", text)
    assert load_config().lab_parts == names


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("LAB_PARTS", "git,mlfow", "there is no part mlfow; there are git, delta, haproxy, mlflow, prometheus, alertmanager, auto and none"),
        ("PORT", "eighty", "valid integer"),
        ("LEASE_SECONDS", "0", "greater than or equal to 1"),
        ("XDS_ALLOWED_NETWORKS", "10.0.0.0/33", "XDS_ALLOWED_NETWORKS"),
    ],
)
def test_what_is_wrong_stops_the_process_with_the_variables_name(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, says: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(SystemExit) as stopped:
        load_config()
    assert variable in str(stopped.value)
    assert says in str(stopped.value)


def test_named_parts_are_the_labs() -> None:
    assert set(LAB_PARTS) == set(PARTS)
