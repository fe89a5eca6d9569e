"""One request is one request."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

from tests.factories.rollbacks import RollbackFactory


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("observed", "words"), [(1, "<strong>1</strong> request counted"), (0, "<strong>0</strong> requests counted"), (2, "requests counted")]
)
def test_requests_are_counted_in_the_right_number(observed: int, words: str) -> None:
    assert words in render_to_string("rollbacks/partials/_harm.html", {"rollback": RollbackFactory(exposure_observed=observed)})
