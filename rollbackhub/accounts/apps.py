from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "rollbackhub.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Listen to django-allauth."""
        from rollbackhub.accounts.domain.sign_in import connect_sign_in_signals

        connect_sign_in_signals()
