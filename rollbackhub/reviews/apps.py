from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    name = "rollbackhub.reviews"
    label = "reviews"
