from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "rollbackhub.registry"
    label = "registry"

    def ready(self) -> None:
        """Dates of providers are watched by the clock, as a housekeeping job."""
        from rollbackhub.registry.domain.retirement_warnings import register

        register()
