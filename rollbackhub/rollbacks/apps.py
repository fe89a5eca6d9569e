from django.apps import AppConfig


class RollbacksConfig(AppConfig):
    name = "rollbackhub.rollbacks"
    label = "rollbacks"

    def ready(self) -> None:
        """Executions of rollbacks and roll-forwards tell their rollback; what is due by the clock is a housekeeping job."""
        from rollbackhub.rollbacks.domain.following import register

        register()
