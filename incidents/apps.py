from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        """What follows the rollbacks are housekeeping jobs."""
        from incidents.domain.transitions import register

        register()
