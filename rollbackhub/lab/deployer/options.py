"""The command line's words as settings. The lab itself hands over one JSON text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rollbackhub.lab.deployer.settings import DeployerSettings, Service


def settings_from(arguments: Sequence[str]) -> DeployerSettings:
    """Settings from the command line: options, or one JSON text. Raises SystemExit, and pydantic's ValidationError."""
    if len(arguments) == 1 and arguments[0].startswith("{"):
        return DeployerSettings.model_validate_json(arguments[0])
    parser = argparse.ArgumentParser(prog="python -m rollbackhub.lab.deployer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", required=True, metavar="FOLDER")
    parser.add_argument("--signing", required=True, metavar="env:NAME|file:/PATH", help="where the signing secret is")
    parser.add_argument("--service", action="append", default=[], metavar="NAME=LABEL,LABEL", help="deployed by request; the first label at the start")
    parser.add_argument("--index", action="append", default=[], metavar="NAME=FOLDER", help="an index of a Delta table")
    parser.add_argument("--evals", default="", metavar="FOLDER", help="cases of eval sets, as LABEL.jsonl, for every --service")
    parser.add_argument("--deploy-seconds", type=float, default=1.0)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--git", default="", metavar="FOLDER", help="a bare repository whose branch is followed")
    parser.add_argument("--branch", default="main")
    parser.add_argument("--file", default="service.yaml", help="names the version as `version`")
    parser.add_argument("--git-service", default="service", metavar="NAME")
    given = parser.parse_args(arguments)
    services: dict[str, Service] = {}
    for text in given.service:
        name, _, labels = text.partition("=")
        services[name] = Service(kind="hook", versions=[label for label in labels.split(",") if label], evals=given.evals)
    for text in given.index:
        name, _, folder = text.partition("=")
        services[name] = Service(kind="index", table=folder)
    if given.git:
        repository = given.git.removeprefix("file://")
        services[given.git_service] = Service(kind="git", repository=repository, branch=given.branch, file=given.file)
    kind, _, place = given.signing.partition(":")
    if kind not in ("env", "file") or not place:
        parser.error("--signing is env:NAME or file:/PATH")
    return DeployerSettings(
        port=given.port,
        state=given.state,
        services=services,
        deploy_seconds=given.deploy_seconds,
        step_seconds=given.step_seconds,
        signing_env=place if kind == "env" else "",
        signing_file=place if kind == "file" else "",
    )
