from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "rollbackhub.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Listen to django-allauth; mail notices."""
        from rollbackhub.accounts.domain.notices import send_mails
        from rollbackhub.accounts.domain.sign_in import connect_sign_in_signals
        from rollbackhub.common.housekeeping import register_job

        connect_sign_in_signals()
        register_job("accounts.send_mails", every_seconds=2, function=send_mails)
