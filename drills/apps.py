from django.apps import AppConfig


class DrillsConfig(AppConfig):
    name = "drills"

    def ready(self) -> None:
        """The programme is kept by the clock, as housekeeping jobs."""
        from drills.domain.finding_actions import register as register_finding_actions
        from drills.domain.programme import register

        register()
        register_finding_actions()
