from django.apps import AppConfig


class LocalConfig(AppConfig):
    name = "rollbackhub.local"
    label = "local"

    def ready(self) -> None:
        """Connect what Celery's processes do when they start."""
        from rollbackhub.local import worker  # noqa: F401
