from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "rollbackhub.executions"
    label = "executions"

    def ready(self) -> None:
        """Runbooks are read, and revisions delivered to the systems that serve by them, as housekeeping jobs."""
        from rollbackhub.common.housekeeping import register_job
        from rollbackhub.executions.domain.deliver import deliver_due
        from rollbackhub.executions.domain.runbooks import register

        register()
        register_job("executions.deliver", every_seconds=1, function=deliver_due, own_thread=True)
