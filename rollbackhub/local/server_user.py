"""PostgreSQL refuses to run as root. Started by root, it runs as the system user `pgserver`, as the wheel's own API does it.

The wheel opens every folder above the data to the world for that; we leave permissions alone and, only where that user cannot
get through (a clone below /root, a private temporary folder), let the server keep the one capability that gets it through.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollbackhub.common.linux import die_with_parent

SERVER_USER = "pgserver"


class CannotStart(Exception):
    """A server cannot be started; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class ServerUser:
    """The user that PostgreSQL runs as. `uid` None: the user who runs RollbackHub."""

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = field(default=())
    """Put before the command, when plain setuid is not enough."""

    def own(self, path: Path) -> None:
        """Give a folder to this user, closed to everybody else."""
        path.chmod(0o700)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def popen_options(self, *, death_signal: signal.Signals) -> dict[str, Any]:
        """Keyword arguments of subprocess for a process of this user that ends when its parent does."""
        options: dict[str, Any] = {"start_new_session": True, "preexec_fn": die_with(death_signal)}
        if self.uid is not None and not self.prefix:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def command(self, arguments: list[str], *, death_signal: signal.Signals) -> list[str]:
        """The command line that runs these arguments as this user."""
        return [*(part.format(signal=death_signal.name.removeprefix("SIG")) for part in self.prefix), *arguments]


def die_with(death_signal: signal.Signals) -> Callable[[], None]:
    """subprocess's `preexec_fn` for a process that ends with this one. Only safe while this process has one thread."""
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death_signal, parent=parent)

    return prepare


def choose_server_user(*, must_reach: list[Path]) -> ServerUser:
    """The user for PostgreSQL, created when RollbackHub runs as root and it is missing.

    Raises CannotStart when root may not create it, or when it cannot get to the folders in `must_reach`.
    """
    if os.geteuid() != 0:
        return ServerUser()
    entry = _ensure_user()
    blocked = [path for path in must_reach if not _can_reach(path, uid=entry.pw_uid, gid=entry.pw_gid)]
    if not blocked:
        return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CannotStart(
            f"PostgreSQL refuses to run as root, and its own user {SERVER_USER} cannot get to {blocked[0]}: "
            "start RollbackHub as an ordinary user, or put it where everybody may pass (chmod o+x on the folders above)."
        )
    prefix = (setpriv, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid, prefix=(*prefix, "--pdeathsig={signal}", "--"))


def _ensure_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    try:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CannotStart("PostgreSQL refuses to run as root and this system has no useradd: start RollbackHub as an ordinary user.") from error
    except subprocess.CalledProcessError as error:
        # Another start beside this one may have been faster.
        try:
            return pwd.getpwnam(SERVER_USER)
        except KeyError:
            raise CannotStart(f"PostgreSQL refuses to run as root, and its user {SERVER_USER} could not be made: {error.stderr.strip()}") from error
    return pwd.getpwnam(SERVER_USER)


def _can_reach(path: Path, *, uid: int, gid: int) -> bool:
    """Whether the mode bits let this user pass every folder down to (not including) this path."""
    for folder in path.resolve().parents:
        found = folder.stat()
        needed = stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True
