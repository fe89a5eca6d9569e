from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "rollbackhub.notifications"
    label = "notifications"

    def ready(self) -> None:
        """Messages follow the audit log by the clock, and are sent."""
        from rollbackhub.notifications.domain.jobs import register

        register()
