from django.apps import AppConfig


class ReleasesConfig(AppConfig):
    name = "rollbackhub.releases"
    label = "releases"

    def ready(self) -> None:
        """Releases follow the rollbacks of their versions by the clock."""
        from rollbackhub.common.housekeeping import register_job
        from rollbackhub.releases.domain.transitions import follow_rollbacks

        register_job("releases.follow_rollbacks", every_seconds=2, function=follow_rollbacks)
