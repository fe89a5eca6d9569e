"""GitOps: the content of a path, or a pinned version, restored by a new commit."""

from rollbackhub.connectors.git.connector import GitConnector
from rollbackhub.connectors.git.settings import GitSettings, GitTarget

__all__ = ["GitConnector", "GitSettings", "GitTarget"]
