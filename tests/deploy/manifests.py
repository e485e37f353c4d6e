"""deploy/ in; out what a container of ours is given there: command, variables, mounts, ports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
# A value that any setting takes which comes from a secret, by the end of its name
SECRETS = {
    "TOKENS": '[{"token": "a-long-random-text", "name": "somebody"}]',
    "MYSQL_URL": "mysql://smart_iot:secret@mysql:3306/smart_iot",
    "MONGO_URL": "mongodb://smart_iot:secret@mongo:27017/smart_iot",
    "REDIS_URL": "redis://:secret@redis:6379/0",
}


def documents(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        return list(yaml.safe_load_all(file))


@cache
def resources() -> tuple[dict[str, Any], ...]:
    """What kubectl and kustomize are given."""
    return tuple(one for path in sorted(KUBERNETES.glob("*.yaml")) for one in documents(path))


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [one for one in resources() if one["kind"] in kinds]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [found for found in of_kind(kind) if found["metadata"]["name"] == name]
    return found


@dataclass(frozen=True)
class Pod:
    """A workload's pod, which has one container."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    volumes: set[str]
    """Its own and its StatefulSet's."""

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.spec["containers"]
        return dict(container)

    @property
    def environment(self) -> dict[str, str]:
        """As Kubernetes makes it, with secrets that somebody may have."""
        environment: dict[str, str] = {}
        for source in self.container["envFrom"]:
            environment |= one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container["env"]:
            name = variable["name"]
            environment[name] = variable.get("value") or SECRETS[name.removeprefix("SMART_IOT_")]
        return environment


def pods() -> list[Pod]:
    return [_pod(workload) for workload in of_kind("Deployment", "StatefulSet")]


def _pod(workload: dict[str, Any]) -> Pod:
    template = workload["spec"]["template"]
    claims = workload["spec"].get("volumeClaimTemplates", [])
    volumes = template["spec"].get("volumes", [])
    return Pod(
        workload["metadata"]["name"],
        template["metadata"]["labels"],
        template["metadata"]["annotations"],
        template["spec"],
        {claim["metadata"]["name"] for claim in claims} | {volume["name"] for volume in volumes},
    )
