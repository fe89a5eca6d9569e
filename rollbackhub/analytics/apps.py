from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "rollbackhub.analytics"
    label = "analytics"

    def ready(self) -> None:
        """What follows the runs are housekeeping jobs."""
        from rollbackhub.analytics.domain.follow import register

        register()
