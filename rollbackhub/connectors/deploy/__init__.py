"""The deploy hook: anything that can be told by a signed HTTP request to deploy a version or to run a job, and asked how it stands."""

from rollbackhub.connectors.deploy.connector import DeployConnector
from rollbackhub.connectors.deploy.settings import DeploySettings, DeployTarget

__all__ = ["DeployConnector", "DeploySettings", "DeployTarget"]
