"""Moves the weights of a backend's servers in every HAProxy process: those that rise first, then those that fall."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from rollbackhub.common.errors import RollbackHubError, Unavailable
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise
from rollbackhub.connectors.haproxy.runtime import NoSuch, Process, Server
from rollbackhub.connectors.haproxy.settings import HaproxySettings, HaproxyTarget
from rollbackhub.connectors.haproxy.weights import same_ratio, weights_of
from rollbackhub.connectors.mechanism import Applied, Change, Counted, Mechanism, Observation, Problem, ProblemCode, ProblemFound, Share
from rollbackhub.connectors.secret_refs import SecretMissing

ADMIN = "admin"
Weights = dict[str, int]


class HaproxyConnector(Mechanism[HaproxySettings, HaproxyTarget]):
    """One or more HAProxy processes that serve the same backend."""

    name = "haproxy"
    settings_type = HaproxySettings
    target_type = HaproxyTarget
    promise = Promise.CONVERGENT
    weighted = True
    counts_requests = True

    def preflight(self, *, target: HaproxyTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """See Mechanism: every process is looked at."""
        problems: list[Problem] = []
        for process in self._processes():
            problems += self._problems(process, partial(self._look_before, process, target, before, wanted))
        return list(dict.fromkeys(problems))

    def _look_before(self, process: Process, target: HaproxyTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        old, new = weights_of(target, before), weights_of(target, wanted)
        servers = self._servers(process, target)
        problems = _not_serving(process, target, servers, new)
        if not same_ratio(_weights(servers, target), old):
            problems.append(_other_weights(process, target, servers, old))
        level = process.level()
        if level != ADMIN:
            remedy = "Set `level admin` on the stats socket that RollbackHub uses."
            problems.append(Problem(ProblemCode.PERMISSION_MISSING, f"the socket of HAProxy {process.name}", "level admin", f"level {level}", remedy))
        path = self.settings.state_file_of(process.name)
        if path and not (os.access(Path(path).parent, os.W_OK | os.X_OK)):
            remedy = "Make that directory, writable for RollbackHub's user."
            problems.append(Problem(ProblemCode.PERMISSION_MISSING, f"the state file {path}", "a directory that we may write to", "none", remedy))
        return problems

    def plan(self, *, target: HaproxyTarget, wanted: Sequence[Share]) -> list[Change]:
        """See Mechanism: one line for each weight of each process."""
        new = weights_of(target, wanted)
        changes = []
        for process in self._processes():
            now = _weights(self._servers(process, target), target)
            if not same_ratio(now, new):
                place = f"{process.name}: {target.backend}"
                changes += [Change(f"{place}/{name}", f"weight {now[name]}", f"weight {new[name]}") for name in new if now[name] != new[name]]
        return changes

    def apply(self, *, target: HaproxyTarget, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """See Mechanism. No weight falls before those that rise were read back, up, in all processes. `reason` is not recorded there.

        An error half way says which weights stand where; a retry goes on from there.
        """
        new = weights_of(target, wanted)
        standing = self._checked(target, before, new)
        todo = [process for process in self._processes() if not same_ratio(standing[process.name], new)]
        for process in todo:
            if process.level() != ADMIN:
                raise PermissionMissing(f"The socket of HAProxy {process.name} does not let us set weights. It needs `level admin`. Nothing was changed.")
        former = {process.name: dict(standing[process.name]) for process in todo}
        try:
            self._set(target, todo, standing, new, falling=False)
            lost = [problem for process in todo for problem in self._read_back(process, target, new)]
            if lost:
                # What was to serve went down in this moment: as it was, so that it gets no traffic by itself when it comes back.
                for process in todo:
                    self._set(target, [process], standing, former[process.name], falling=True)
                raise ProblemFound(lost[0])
            self._set(target, todo, standing, new, falling=True)
        except NoSuch as error:
            remedy = f"Bring the servers of {target.backend} back, or correct the target. Now stands {_in_words(standing)}."
            raise ProblemFound(Problem(ProblemCode.FLAG_MOVED, target.backend, "all servers of the target", "one less than before", remedy)) from error
        except ProblemFound:
            raise
        except RollbackHubError as error:
            stands = f"The last change of it may have been made or not; else there stands {_in_words(standing)}. A retry goes on from there."
            raise type(error)(f"{error.message} {stands}", code=error.code) from error
        self._save_states()
        changed = ", ".join(process.name for process in todo)
        note = f"Weights of {target.backend} were changed in {changed}." if todo else f"The weights of {target.backend} were as wanted already."
        return Applied(changed=bool(todo), revision=_short(new), note=note)

    def observe(self, *, target: HaproxyTarget, wanted: Sequence[Share]) -> Observation:
        """See Mechanism. Reached: in every process the weights share the traffic as wanted, and each candidate that has some has a server that is up.

        A server with weight that is not up is named in any case.
        """
        new = weights_of(target, wanted)
        expected = f"{target.backend} with {_short(new)}"
        values: dict[str, object] = {}
        differing, ill = [], []
        for process in self._processes():
            try:
                servers = self._servers(process, target)
            except ProblemFound as error:
                values[process.name] = error.problem.found
                differing.append(error.problem.in_words)
                continue
            values[process.name] = {name: {"weight": servers[name].weight, "status": servers[name].status} for name in new}
            if not same_ratio(_weights(servers, target), new):
                differing.append(f"{process.name} has {_short(_weights(servers, target))}")
            for share in wanted:
                if share.weight > 0 and not any(servers[name].is_up for name in target.servers[share.candidate_id]):
                    differing.append(f"{process.name} has no server of {share.candidate_id} up")
            ill += [f"server {target.backend}/{name} of {process.name}: {_standing(servers[name])}" for name in _not_up(servers, new)]
        found = differing or [f"{expected} in {', '.join(values)}"]
        return Observation(not differing, expected, "; ".join(found + ill), values)

    def read_requests(self, *, target: HaproxyTarget, shares: Sequence[Share]) -> Mapping[str, Counted]:
        """See Mechanism: the sum over all processes. HAProxy counts for a server what it gave to it (`stot`), and has open now (`scur`)."""
        counted: dict[str, Counted] = {}
        for process in self._processes():
            servers = self._servers(process, target)
            for share in shares:
                for name in target.servers.get(share.candidate_id, []):
                    so_far = counted.get(share.version.label, Counted(0, 0))
                    server = servers[name]
                    counted[share.version.label] = Counted(so_far.requests + server.requests, so_far.active + server.active)
        return counted

    def _processes(self) -> list[Process]:
        return [Process(name, address, timeout_seconds=self.timeout_seconds) for name, address in sorted(self.settings.sockets.items())]

    def _checked(self, target: HaproxyTarget, before: Sequence[Share], new: Weights) -> dict[str, Weights]:
        """The weights in all processes, before anything is changed. Raises ProblemFound when any of them may not be changed so."""
        old = weights_of(target, before)
        standing: dict[str, Weights] = {}
        for process in self._processes():
            servers = self._servers(process, target)
            problems = _not_serving(process, target, servers, new)
            if not _may_be_left(servers, target, old, new):
                problems.append(_other_weights(process, target, servers, old))
            if problems:
                raise ProblemFound(problems[0])
            standing[process.name] = _weights(servers, target)
        return standing

    def _read_back(self, process: Process, target: HaproxyTarget, new: Weights) -> list[Problem]:
        """What is wrong with the servers that now have their weight, before any weight falls."""
        try:
            servers = self._servers(process, target)
        except ProblemFound as error:
            return [error.problem]
        problems = _not_serving(process, target, servers, new)
        lower = [name for name, weight in new.items() if servers[name].weight < weight]
        if lower:
            remedy = "Somebody else sets weights at this moment. All was put back; try again."
            found = _short(_weights(servers, target))
            problems.append(
                Problem(ProblemCode.CONFIG_MISMATCH, f"{target.backend} of HAProxy {process.name}", f"weights {_short(new)} or more", found, remedy)
            )
        return problems

    def _set(self, target: HaproxyTarget, processes: Sequence[Process], standing: dict[str, Weights], new: Weights, *, falling: bool) -> None:
        """Set the weights that fall, or those that rise, in these processes; `standing` follows."""
        for process in processes:
            now = standing[process.name]
            for name, weight in new.items():
                if (weight < now[name]) if falling else (weight > now[name]):
                    process.set_weight(target.backend, name, weight)
                    now[name] = weight

    def _servers(self, process: Process, target: HaproxyTarget) -> dict[str, Server]:
        """The backend's servers. Raises ProblemFound when some of the target are not there, or others take traffic."""
        place = f"{target.backend} of HAProxy {process.name}"
        remedy = "Correct the target, or bring them back: somebody changed HAProxy's configuration."
        try:
            servers = process.servers(target.backend)
        except NoSuch as error:
            raise ProblemFound(Problem(ProblemCode.FLAG_MOVED, place, f"a backend {target.backend}", "none of this name", remedy)) from error
        named = {name for names in target.servers.values() for name in names}
        missing = sorted(named - servers.keys())
        if missing:
            raise ProblemFound(Problem(ProblemCode.FLAG_MOVED, place, f"servers {', '.join(sorted(named))}", f"no {', '.join(missing)}", remedy))
        backups = sorted(name for name in named if servers[name].backup)
        if backups:
            remedy = "Take `backup` from them: HAProxy gives a backup no share of the traffic."
            raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, place, "servers that share the traffic", f"{', '.join(backups)} as backup", remedy))
        others = sorted(server.name for server in servers.values() if server.name not in named and server.takes_traffic)
        if others:
            remedy = "Name them in the target, or set their weight to 0: they take traffic that nobody counts."
            raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, place, "traffic for the target's servers only", f"{', '.join(others)} with weight", remedy))
        return servers

    def _save_states(self) -> None:
        """Save each process's state where it reads it at its start. Raises Unavailable (code `state_not_saved`) when that cannot be."""
        if not self.settings.state_file:
            return
        for process in self._processes():
            path = Path(self.settings.state_file_of(process.name))
            content = process.state()
            try:
                with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                    file.write(content)
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except OSError as error:
                lost = f"The weights stand as wanted, but HAProxy {process.name} would lose them at a restart"
                remedy = "Make the directory writable for RollbackHub's user and try again."
                raise Unavailable(f"{lost}: {path} cannot be written ({error.strerror}). {remedy}", code="state_not_saved") from error

    def _problems(self, process: Process, look: Callable[[], list[Problem]]) -> list[Problem]:
        """What a look finds, with what it raises as problems. SecretMissing passes."""
        subject = f"HAProxy {process.name}"
        try:
            return look()
        except ProblemFound as error:
            return [error.problem]
        except SecretMissing:
            raise
        except (PermissionMissing, OutboundRefused) as error:
            remedy = "Let RollbackHub's user use the runtime socket; a tcp host must be in OUTBOUND_ALLOWED_HOSTS."
            return [Problem(ProblemCode.PERMISSION_MISSING, subject, "that we may use its socket", error.message, remedy)]
        except RollbackHubError as error:
            return [Problem(ProblemCode.UNREACHABLE, subject, "an answer in time", error.message, "Check that it runs and has this socket.")]


def _weights(servers: Mapping[str, Server], target: HaproxyTarget) -> Weights:
    return {name: servers[name].weight for names in target.servers.values() for name in names}


def _may_be_left(servers: Mapping[str, Server], target: HaproxyTarget, old: Weights, new: Weights) -> bool:
    """Whether this is what served before, what is wanted, or what an `apply` that broke off leaves between the two."""
    now = _weights(servers, target)
    if same_ratio(now, old) or same_ratio(now, new):
        return True
    # After HAProxy's start the configuration's own weights stand, which may share the traffic as before by other numbers.
    initial = {name: servers[name].initial_weight for name in now}
    starts = [old, initial] if same_ratio(initial, old) else [old]
    return any(all(now[name] in (start[name], new[name]) for name in now) for start in starts)


def _not_serving(process: Process, target: HaproxyTarget, servers: Mapping[str, Server], new: Weights) -> list[Problem]:
    """The servers that are to get traffic and are not known to be up: HAProxy would take their weight, and answer 503."""
    problems = []
    for name in _not_up(servers, new):
        unchecked = servers[name].is_unchecked
        found = _standing(servers[name])
        remedy = "Add `check` to the server in HAProxy's configuration." if unchecked else "Bring it up, or roll back to another version. Nothing was changed."
        code = ProblemCode.CONFIG_MISMATCH if unchecked else ProblemCode.TARGET_RETIRED
        problems.append(Problem(code, f"server {target.backend}/{name} of HAProxy {process.name}", "UP", found, remedy))
    return problems


def _not_up(servers: Mapping[str, Server], new: Weights) -> list[str]:
    return sorted(name for name, weight in new.items() if weight > 0 and not servers[name].is_up)


def _standing(server: Server) -> str:
    return "no health check of it" if server.is_unchecked else f"it is {server.status}"


def _other_weights(process: Process, target: HaproxyTarget, servers: Mapping[str, Server], old: Weights) -> Problem:
    remedy = "Find out who set them: route to what serves now, or set them back. Nothing was changed."
    found = _short(_weights(servers, target))
    return Problem(ProblemCode.CONFIG_MISMATCH, f"{target.backend} of HAProxy {process.name}", f"weights {_short(old)}", found, remedy)


def _short(weights: Mapping[str, int]) -> str:
    return " ".join(f"{name}={weight}" for name, weight in weights.items())


def _in_words(standing: Mapping[str, Weights]) -> str:
    return "; ".join(f"{process}: {_short(weights)}" for process, weights in standing.items())
