from django.apps import AppConfig


class ReadinessConfig(AppConfig):
    name = "rollbackhub.readiness"
    label = "readiness"

    def ready(self) -> None:
        """Preflights and readiness are computed by the clock, as housekeeping jobs."""
        from rollbackhub.readiness.domain.jobs import register

        register()
