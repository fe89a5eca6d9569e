"""What a page says about filters in its address that it cannot follow."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from rollbackhub.common.errors import InvalidInput


def say_what_is_left_out(request: HttpRequest, names: Iterable[str]) -> None:
    """A notice that names the parameters of the address that are left out of the filter; nothing when there is none."""
    unknown = ", ".join(f"{name}={request.GET.get(name, '')[:60]}" for name in names)
    if unknown:
        messages.warning(request, f"The address filters by what there is not ({unknown}). That part was left out.")


def require_readable(form: forms.Form) -> None:
    """Refuse a file of what the address does not filter by: it would mislead. Raises InvalidInput with sentences per field."""
    if not form.is_valid():
        raise InvalidInput(
            "The address filters by what there is not. A file that says nothing of that would mislead: mend the address.",
            fields={name: [str(sentence) for sentence in sentences] for name, sentences in form.errors.items()},
        )
