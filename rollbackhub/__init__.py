"""RollbackHub: rollback of LLM releases that is tested, fast, rehearsed and verified."""

from rollbackhub.celery import app as celery_app

__all__ = ["celery_app"]
