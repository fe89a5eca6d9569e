from django.apps import AppConfig


class PostmortemsConfig(AppConfig):
    name = "rollbackhub.postmortems"
    label = "postmortems"

    def ready(self) -> None:
        """Drafting, reminding and gating are due by the clock; actions tell of being opened again."""
        from rollbackhub.postmortems.domain.jobs import register

        register()
