from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "rollbackhub.executions"
    label = "executions"

    def ready(self) -> None:
        """Runbooks are read by the clock, as a housekeeping job."""
        from rollbackhub.executions.domain.runbooks import register

        register()
