"""Whether the ports that are wanted are free."""

from __future__ import annotations

import socket

from rollbackhub.common.config import LAB_PORTS, Config
from rollbackhub.local.server_user import CannotStart

LOOPBACK = "127.0.0.1"


def require_free_ports(config: Config) -> None:
    """Raises CannotStart naming the variable to set, when another program listens where RollbackHub wants to."""
    reason = _why_not(config.host, config.port)
    if reason:
        raise CannotStart(
            f"Port {config.port} on {config.host} cannot be used ({reason}): set PORT to a free one, for example PORT={_other_port(config.port)} make up"
        )
    if not config.lab:
        return
    for port in range(config.lab_base_port, config.lab_base_port + LAB_PORTS):
        reason = _why_not(LOOPBACK, port)
        if reason:
            raise CannotStart(
                f"The lab cannot use port {port} ({reason}): set LAB_BASE_PORT to the first of {LAB_PORTS} free ports, "
                f"for example LAB_BASE_PORT={_other_port(config.lab_base_port)} make up, or LAB=0 to run without the lab."
            )


def _why_not(host: str, port: int) -> str:
    """Why this address cannot be listened on; empty when it can."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        return f"HOST {host} is unknown: {error.strerror}"
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _other_port(port: int) -> int:
    return port + 100 if port < 65_000 else port - 100
