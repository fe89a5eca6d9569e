"""Delta Lake tables: a data set's earlier version restored as a new table version."""

from rollbackhub.connectors.delta.connector import DeltaConnector
from rollbackhub.connectors.delta.settings import DeltaSettings, DeltaTarget

__all__ = ["DeltaConnector", "DeltaSettings", "DeltaTarget"]
