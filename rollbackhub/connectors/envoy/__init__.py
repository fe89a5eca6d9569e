"""Envoy: what it really serves, read from its own admin interface. Policies reach it by xDS (rollbackhub/routing/xds)."""

from rollbackhub.connectors.envoy.connector import ClusterCounters, ClusterMembers, EnvoyConnector, ServedRoutes

__all__ = ["ClusterCounters", "ClusterMembers", "EnvoyConnector", "ServedRoutes"]
