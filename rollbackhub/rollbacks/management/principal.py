"""For whom the command line acts: a person's account, never an anonymous system."""

from __future__ import annotations

import os
import pwd

from rollbackhub.accounts.domain.actors import LONGEST_LABEL, name_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.common.errors import Forbidden, NotFound
from rollbackhub.registry.models import Environment

VARIABLE = "ROLLBACKHUB_AS"
LAB_ACCOUNT = "oncall"


def choose_account(*, named: str, environment: Environment | None = None) -> tuple[User, str]:
    """The account that asks, and what to tell about the choice ("" when it was named).

    In this order: `named`, ROLLBACKHUB_AS, the account with the name of the OS user, in the lab the on-call
    engineer's (`environment`: what it is about, if that is one).
    Raises NotFound when there is none, Forbidden when it is not active.
    """
    for name, origin in ((named, "--as"), (os.environ.get(VARIABLE, ""), VARIABLE)):
        if name:
            return _active(_account(name), name=name, origin=origin), ""
    own = _account(os_user())
    if own is not None and own.is_active:
        return own, ""
    lab = _account(LAB_ACCOUNT) if environment is not None and environment.is_lab else None
    if lab is not None and lab.is_active:
        return lab, f"There is no account {os_user()}; this is the lab, so {LAB_ACCOUNT} asks. Choose another with --as USERNAME."
    raise NotFound(
        f"Who asks? There is no active account {os_user()} (the operating system's user). Pass --as USERNAME, or set {VARIABLE}.", code="account_not_found"
    )


def actor_by_command_line(account: User) -> Actor:
    """The person as an actor; the label says that it came by command line, and of which OS user."""
    name, how = name_of(account), f" by command line ({os_user()[:60]})"
    return Actor(kind="person", label=f"{name[: LONGEST_LABEL - len(how)]}{how}", user_id=account.pk)


def os_user() -> str:
    """The operating system's name of who runs this, whatever the environment variables claim."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _account(name: str) -> User | None:
    return User.objects.select_related("responsible").filter(username=name).first()


def _active(account: User | None, *, name: str, origin: str) -> User:
    if account is None:
        raise NotFound(f"There is no account {name} (from {origin}).", code="account_not_found")
    if not account.is_active:
        raise Forbidden(f"The account {name} (from {origin}) is not active.", code="account_not_active")
    return account
