from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "rollbackhub.alerts"
    label = "alerts"

    def ready(self) -> None:
        """What becomes of posts is the housekeeper's."""
        from rollbackhub.alerts.domain.processing import register

        register()
