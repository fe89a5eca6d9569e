"""HAProxy: the weights of a backend's servers, by the runtime API."""

from rollbackhub.connectors.haproxy.connector import HaproxyConnector
from rollbackhub.connectors.haproxy.settings import HaproxySettings, HaproxyTarget

__all__ = ["HaproxyConnector", "HaproxySettings", "HaproxyTarget"]
