"""The process that sends: `python -m rollbackhub.notifications.child`. One JSON line in for each message, one JSON line out.

Apprise's plugins open their own connections and may do what they like in a process. So they get one of their own, which knows no database and no
secret but the address of the message at hand, and in which an audit hook of Python (sys.addaudithook, which no code can take off) refuses:

- to look up a host that is not allowed, and to connect to any address that such a look-up did not give (a name that leads elsewhere the next moment
  leads nowhere), or that is link-local, multicast or a cloud's metadata service;
- to listen, to send datagrams, to use local sockets;
- to write files, to read any but Python's own and certificates, to start programs.

What goes back are sentences of this file and three-digit codes. No text of a plugin or a server does: it may hold the address.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rollbackhub.common.http_network import OutboundRefused, is_forbidden, plain_host, require_allowed_host

OWN_HOSTS: dict[str, tuple[str, ...]] = {
    "slack": ("hooks.slack.com", "slack.com"),
    "pagerduty": ("events.pagerduty.com", "events.eu.pagerduty.com"),
    "opsgenie": ("api.opsgenie.com", "api.eu.opsgenie.com"),
    "discord": ("discord.com",),
    "wxteams": ("webexapis.com",),
    "webex": ("webexapis.com",),
    "gchat": ("chat.googleapis.com",),
}
"""Services whose hosts nobody chooses: allowing the scheme allows them, and only them. For every other the host has to be allowed."""

LONGEST_BODY = 20_000

_STARTS = frozenset({"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen", "pty.spawn"})
_CHANGES = frozenset({"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "shutil.rmtree"})
_SENDS_OTHERWISE = frozenset({"socket.bind", "socket.sendto", "socket.sendmsg"})
_READABLE = ("/usr/share/zoneinfo/", "/etc/ssl/", "/etc/pki/", "/usr/share/ca-certificates/", "/usr/local/share/ca-certificates/", "/etc/mime.types")
_HARMLESS = frozenset({"/dev/null", "/dev/urandom"})


class Refused(OSError):
    """The guard does not let it happen. An OSError, because that is what plugins take for a connection that cannot be made."""


class Guard:
    """What this process may do from now on. Set for each message."""

    def __init__(self) -> None:
        self.on = False
        self.hosts: frozenset[str] = frozenset()
        self.resolved: set[str] = set()
        self.refusal = ""
        self._own_name = socket.gethostname()
        kept = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"))
        roots = [sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), *filter(None, kept)]
        self._roots = tuple({os.path.realpath(root) for root in roots})

    def install(self) -> None:
        """For good. Until `on` is set it lets everything through."""
        looked_up = socket.getaddrinfo

        def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
            found = looked_up(*args, **kwargs)
            if self.on:
                self.resolved.update(str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)
            return found

        socket.getaddrinfo = getaddrinfo
        sys.addaudithook(self._hook)

    def begin(self, hosts: Iterable[str]) -> None:
        """A message begins: only these hosts may be called for it."""
        self.hosts, self.resolved, self.refusal, self.on = frozenset(hosts), set(), "", True

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "socket.getaddrinfo":
            self._require_host(args[0])
        elif event == "socket.gethostbyname":
            # smtplib asks for the address of this very machine, to greet with. Nothing can be connected to by it: see _require_resolved.
            if args[0] != self._own_name:
                self._require_host(args[0])
        elif event == "socket.connect":
            self._require_resolved(args[1])
        elif event == "open":
            self._require_readable(args[0], args[1], args[2])
        elif event in _STARTS:
            self._refuse("It wanted to start a program.")
        elif event in _CHANGES:
            self._refuse("It wanted to change files.")
        elif event in _SENDS_OTHERWISE:
            self._refuse("It wanted to use the network in another way than to connect to its host.")

    def _require_host(self, host: object) -> None:
        name = host.decode("ascii", errors="replace") if isinstance(host, bytes) else str(host or "")
        try:
            require_allowed_host(name, self.hosts)
        except OutboundRefused as error:
            self._refuse(error.message)

    def _require_resolved(self, address: object) -> None:
        if not (isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str)):
            self._refuse("It wanted to use a local socket.")
            return
        try:
            found = ipaddress.ip_address(address[0].partition("%")[0])
        except ValueError:
            self._refuse("It wanted to connect to a name that was not looked up.")
            return
        if is_forbidden(found):
            self._refuse("Its host leads to an address that RollbackHub never calls (link-local, metadata or multicast).")
        elif str(found) not in self.resolved:
            self._refuse("It wanted to connect to an address to which its host does not lead.")

    def _require_readable(self, path: object, mode: object, flags: object) -> None:
        if isinstance(path, int):
            return
        where = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
        if where in _HARMLESS:
            return
        writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
            isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
        )
        inside = any(where == root or where.startswith(root + os.sep) for root in self._roots)
        if writes or not (inside or where.startswith(_READABLE)):
            self._refuse("It wanted to read or write a file.")

    def _refuse(self, sentence: str) -> None:
        self.refusal = self.refusal or sentence
        raise Refused(sentence)


_STATUS = re.compile(r"error=(\d{3})\b")
_MAIL_STATUS = re.compile(r"\((\d{3}), b?['\"]|refused: (\d{3})\b")
_SAYS = (
    ("CERTIFICATE_VERIFY_FAILED", "Its certificate is not one that can be trusted."),
    ("SSL", "It could not be spoken to over TLS."),
    ("timed out", "It did not answer in time."),
    ("Connection refused", "Nothing listens there: the connection was refused."),
    ("Name or service not known", "The name of its host is not known."),
    ("name resolution", "The name of its host is not known."),
    ("nodename nor servname", "The name of its host is not known."),
    ("Network is unreachable", "Its network cannot be reached."),
    ("No route to host", "Its network cannot be reached."),
    ("Remote end closed", "It broke the connection off."),
    ("Connection reset", "It broke the connection off."),
    ("Connection unexpectedly closed", "It broke the connection off."),
    ("Connection aborted", "It broke the connection off."),
    ("STARTTLS", "It does not speak STARTTLS."),
)


class Listener(logging.Handler):
    """What a plugin logs, kept in this process to tell why it failed."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what tells why: not the message itself, which is logged as well, and may say anything."""
        line = record.getMessage()
        if record.levelno >= logging.WARNING or line.startswith("Socket Exception"):
            self.lines.append(line)

    def sentence(self) -> str:
        """Why it failed: one of the sentences above."""
        text = "\n".join(self.lines)
        status = _STATUS.search(text)
        if status:
            code = int(status.group(1))
            return f"It answered {code}; redirects are not followed." if 300 <= code < 400 else f"It answered {code}."
        mail = _MAIL_STATUS.search(text)
        if mail:
            return f"The mail server answered {mail.group(1) or mail.group(2)}."
        return next((said for sign, said in _SAYS if sign.lower() in text.lower()), "It did not take the message.")


def answer(outcome: str, error: str = "") -> dict[str, str]:
    """What goes back."""
    return {"outcome": outcome, "error": error}


def deliver(order: dict[str, Any], guard: Guard, listener: Listener) -> dict[str, str]:
    """Send one message. Never raises."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
    from apprise.common import OverflowMode
    from apprise.plugins import url_to_dict

    listener.lines.clear()
    seconds = float(order["seconds"])
    unreadable = answer("refused", "Its address cannot be read. It is an Apprise address such as slack://…, mailtos://… or jsons://….")
    try:
        parts = url_to_dict(order["address"])  # type: ignore[no-untyped-call]
        if not parts:
            return unreadable
        scheme = str(parts["schema"]).lower()
        if scheme not in order["schemes"]:
            return answer("refused", f"Addresses of the kind {scheme}:// are not allowed. An administrator can add it to NOTIFY_ALLOWED_SCHEMES.")
        guard.begin(plain_host(host) for host in OWN_HOSTS.get(scheme, order["hosts"]))
        asset = AppriseAsset(
            app_id="RollbackHub", app_desc="RollbackHub", app_url="", http_redirects=False, storage_mode="memory", pgp_autogen=False, pem_autogen=False,
            image_url_mask="", image_url_logo="", async_mode=False,
        )  # fmt: skip
        plugin = Apprise.instantiate(parts, asset=asset)
        if plugin is None:
            return refused_or(unreadable, guard)
        # Whatever the address says about these.
        plugin.redirects, plugin.verify_certificate = False, True
        plugin.socket_connect_timeout = plugin.socket_read_timeout = seconds
        plugin.overflow_mode = OverflowMode.TRUNCATE
        weight = {"failure": NotifyType.FAILURE, "warning": NotifyType.WARNING}.get(order["weight"], NotifyType.INFO)
        sent = plugin.notify(body=order["body"][:LONGEST_BODY], title=order["subject"], notify_type=weight, body_format=NotifyFormat.TEXT)
    except Refused:
        return refused_or(answer("failed", "It did not take the message."), guard)
    except Exception as error:
        # The text of what went wrong may hold the address; its kind does not.
        return refused_or(answer("failed", f"It could not be sent ({type(error).__name__})."), guard)
    finally:
        guard.on = False
    return answer("delivered") if sent else refused_or(answer("failed", listener.sentence()), guard)


def refused_or(otherwise: dict[str, str], guard: Guard) -> dict[str, str]:
    """What the guard refused explains it better than what came of it."""
    return answer("refused", guard.refusal) if guard.refusal else otherwise


def serve(orders: TextIO, answers: TextIO) -> None:
    """Until there are no more orders. The first line says that it is ready."""
    import apprise  # noqa: F401
    import requests  # noqa: F401 # with all that it reads, before files are closed to it
    from apprise.manager_plugins import NotificationManager

    sys.dont_write_bytecode = True
    guard, listener = Guard(), Listener()
    # Apprise looks for its plugins when it is first asked for one.
    list(NotificationManager().plugins())  # type: ignore[no-untyped-call]
    for name in ("apprise", "requests", "urllib3"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [logging.NullHandler()], False
    logging.getLogger("apprise").addHandler(listener)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    guard.install()
    print(json.dumps(answer("ready")), file=answers, flush=True)
    for line in orders:
        print(json.dumps(deliver(json.loads(line), guard, listener)), file=answers, flush=True)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as spoken, open(os.devnull, "w") as nowhere:
        # What a plugin prints is nobody's.
        sys.stdout = sys.stderr = nowhere
        serve(sys.stdin, spoken)
