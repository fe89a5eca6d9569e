from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    name = "rollbackhub.reviews"
    label = "reviews"

    def ready(self) -> None:
        """Preparing reviews and making their documents are due by the clock."""
        from rollbackhub.reviews.domain.due import register

        register()
