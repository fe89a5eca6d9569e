"""Which port belongs to which part of the lab, counted from LAB_BASE_PORT. All of them listen on loopback only."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from rollbackhub.common.config import LAB_PORTS
from rollbackhub.lab import catalogue

LOOPBACK = "127.0.0.1"

METRICS = 0
"""Metrics endpoint of the traffic generator."""
GOOD_MODEL = 1
BAD_MODEL = 2
GATEWAY_LISTENER = {"staging": 10, "production": 20}
GATEWAY_ADMIN = {"staging": 11, "production": 21}
CONTROL = 30
"""Where the lab's main process talks to the traffic generator."""


DEPLOYER = 31
MLFLOW = 32
BALANCER = {"staging": 33, "production": 34}
PROMETHEUS = 35
ALERTMANAGER = 36


class PortTaken(Exception):
    """A port of the lab is in use by another process."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one lab."""

    base: int

    @property
    def metrics(self) -> int:
        """Port of the metrics endpoint."""
        return self.base + METRICS

    @property
    def good_model(self) -> int:
        """Port of the known good model server."""
        return self.base + GOOD_MODEL

    @property
    def bad_model(self) -> int:
        """Port of the model server with the regression."""
        return self.base + BAD_MODEL

    def model_server(self, model: str) -> int:
        """Port of a model's server."""
        return {catalogue.GOOD_MODEL: self.good_model, catalogue.BAD_MODEL: self.bad_model}[model]

    @property
    def control(self) -> int:
        """Port of the traffic generator's control interface."""
        return self.base + CONTROL

    @property
    def deployer(self) -> int:
        """Port of the deployer (parts git and delta)."""
        return self.base + DEPLOYER

    @property
    def mlflow(self) -> int:
        """Port of the MLflow server (part mlflow)."""
        return self.base + MLFLOW

    @property
    def prometheus(self) -> int:
        """Port of the Prometheus server (part prometheus)."""
        return self.base + PROMETHEUS

    @property
    def alertmanager(self) -> int:
        """Port of the Alertmanager (part alertmanager)."""
        return self.base + ALERTMANAGER

    def balancer(self, environment: str) -> int:
        """Port on which HAProxy takes an environment's traffic (part haproxy)."""
        return self.base + BALANCER[environment]

    def listener(self, environment: str) -> int:
        """Port on which an environment's gateway takes traffic."""
        return self.base + GATEWAY_LISTENER[environment]

    def admin(self, environment: str) -> int:
        """Port of an environment's gateway's admin interface."""
        return self.base + GATEWAY_ADMIN[environment]

    def all_of(self, environments: Iterable[str]) -> dict[str, int]:
        """Every port that a lab with these environments uses, by what it is for."""
        ports = {"metrics": self.metrics, "good model server": self.good_model, "model server under test": self.bad_model, "control": self.control}
        for environment in environments:
            ports[f"{environment} gateway"] = self.listener(environment)
            ports[f"{environment} gateway's admin interface"] = self.admin(environment)
        return ports


def require_free(ports: dict[str, int]) -> None:
    """Raise PortTaken, with a sentence naming LAB_BASE_PORT, when another process listens on one of these ports."""
    for purpose, port in ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise PortTaken(
                    f"The lab cannot start: port {port} ({purpose}) is taken ({error.strerror}). "
                    f"Set LAB_BASE_PORT to the first of {LAB_PORTS} free ports, or LAB=0 to run without the lab."
                ) from error
