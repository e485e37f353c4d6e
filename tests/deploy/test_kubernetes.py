"""The Kubernetes manifests say what their schemas allow, and what the product and its image are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from pipeline.names import Names
from pipeline.settings import PREFIX, Settings
from pipeline.sinks.known import APART
from tests.deploy import image
from tests.deploy.manifests import (
    KUBERNETES,
    ROOT,
    SECRETS,
    Pod,
    documents,
    of_kind,
    one,
    pods,
    resources,
)

OLDEST, NEWEST = "1.31", "1.37"  # of Kubernetes, that we look at
# Who is checked apart, for Kubernetes itself doesn't know them
FOREIGN = {"Kustomization", "ScaledObject", "KafkaTopic"}
NAMES = Names("")
SETTINGS = one("ConfigMap", "smart-iot")["data"]
everyone = pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod.name)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field_and_takes_every_value(version: str) -> None:
    for resource in resources():
        if resource["kind"] in FOREIGN:
            with pytest.raises(kubernetes_validate.utils.SchemaNotFoundError):
                kubernetes_validate.validate(resource, version, strict=True)
        else:
            kubernetes_validate.validate(resource, version, strict=True)


def test_kustomize_takes_all_but_the_topics_which_belong_elsewhere() -> None:
    (kustomization,) = documents(KUBERNETES / "kustomization.yaml")
    files = {path.name for path in KUBERNETES.iterdir()}
    assert {*kustomization["resources"], "topics.yaml", "kustomization.yaml"} == files
    assert kustomization.keys() == {"apiVersion", "kind", "namespace", "resources", "images"}
    assert kustomization["namespace"] == one("Namespace", "smart-iot")["metadata"]["name"]
    assert {pod.container["image"] for pod in pods()} == {
        image["name"] for image in kustomization["images"]
    }


def test_every_resource_has_a_name_of_its_own_and_says_whose_it_is() -> None:
    named = [
        (r["kind"], r["metadata"]["name"]) for r in resources() if r["kind"] != "Kustomization"
    ]
    assert len(named) == len(set(named))
    for resource in resources():
        if resource["kind"] != "Kustomization":
            assert resource["metadata"]["labels"]["app.kubernetes.io/part-of"] == "smart-iot"


# --- topics and scaling -----------------------------------------------------------------------


def test_the_topics_are_those_that_the_product_would_create() -> None:
    topics = {topic["metadata"]["name"]: topic["spec"] for topic in of_kind("KafkaTopic")}
    assert {
        name: {key: _as_kafka_says(value) for key, value in topic["config"].items()}
        for name, topic in topics.items()
    } == {name: {**policy, "min.insync.replicas": "2"} for name, policy in NAMES.policies().items()}
    for topic in topics.values():
        assert topic.keys() == {"partitions", "replicas", "config"}
        assert str(topic["partitions"]) == SETTINGS["SMART_IOT_PARTITIONS"]
        assert str(topic["replicas"]) == SETTINGS["SMART_IOT_REPLICATION"]


def _as_kafka_says(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_strimzi_finds_the_topics_of_its_cluster() -> None:
    for topic in of_kind("KafkaTopic"):
        assert topic["apiVersion"] == "kafka.strimzi.io/v1"
        cluster = topic["metadata"]["labels"]["strimzi.io/cluster"]
        assert SETTINGS["SMART_IOT_BOOTSTRAP"].startswith(f"{cluster}-kafka-bootstrap.")
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", topic["metadata"]["name"])


def test_keda_knows_every_field_of_what_scales_the_workers() -> None:
    (scaled,) = of_kind("ScaledObject")
    schema = json.loads((Path(__file__).parent / "scaled_object.schema.json").read_text())
    jsonschema.validate(scaled, schema)


def test_kubernetes_takes_the_autoscaler_that_keda_makes_of_it() -> None:
    (scaled,) = of_kind("ScaledObject")
    spec = scaled["spec"]
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-worker"},
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }
    kubernetes_validate.validate(autoscaler, NEWEST, strict=True)


def test_there_are_never_more_workers_than_partitions() -> None:
    (scaled,) = of_kind("ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] == int(SETTINGS["SMART_IOT_PARTITIONS"])
    assert 1 < scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    assert "replicas" not in one("StatefulSet", "worker")["spec"]  # each `apply` would set it back


def test_workers_are_scaled_by_the_lag_of_their_own_group() -> None:
    (scaled,) = of_kind("ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]
    assert one(target["kind"], target["name"])["apiVersion"] == target["apiVersion"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "kafka"
    assert (
        trigger["metadata"]
        | {
            "bootstrapServers": SETTINGS["SMART_IOT_BOOTSTRAP"],
            "consumerGroup": NAMES.app,
            "topic": NAMES.readings,
            "offsetResetPolicy": "earliest",
            "allowIdleConsumers": "false",
        }
        == trigger["metadata"]
    )
    assert int(trigger["metadata"]["lagThreshold"]) > 0


# --- pods -------------------------------------------------------------------------------------


@everyone
def test_every_variable_is_a_setting_and_its_value_one_that_is_taken(pod: Pod, tmp_path) -> None:
    Settings.of(_readable(pod.environment, tmp_path))


def _readable(environment: dict[str, str], folder: Any) -> dict[str, str]:
    """Files of secrets are somewhere else here."""
    for name in [name for name in environment if name.endswith("_FILE")]:
        secret = name.removeprefix(PREFIX).removesuffix("_FILE")
        (folder / secret).write_text(SECRETS[secret])
        environment[name] = str(folder / secret)
    return environment


@everyone
def test_kubernetes_adds_no_variables_of_services_to_ours(pod: Pod) -> None:
    assert pod.spec["enableServiceLinks"] is False


@everyone
def test_a_pod_has_no_rights_and_writes_to_its_volumes_alone(pod: Pod) -> None:
    (user,) = [
        rest for word, rest in image.instructions(image.DOCKERFILE.read_text()) if word == "USER"
    ]
    context = pod.spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["automountServiceAccountToken"] is False


@everyone
def test_what_is_mounted_is_there(pod: Pod) -> None:
    mounted = {mount["name"] for mount in pod.container["volumeMounts"]}
    assert mounted == pod.volumes
    folders = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
    for name, value in pod.environment.items():
        if name.endswith("_FILE"):
            assert value.rpartition("/")[0] in folders


def test_a_worker_keeps_its_state_on_its_volume() -> None:
    (worker,) = [pod for pod in pods() if pod.name == "worker"]
    paths = {mount["name"]: mount["mountPath"] for mount in worker.container["volumeMounts"]}
    (claim,) = one("StatefulSet", "worker")["spec"]["volumeClaimTemplates"]
    assert f"SMART_IOT_DATA_DIR={paths[claim['metadata']['name']]}" in image.DOCKERFILE.read_text()


@everyone
def test_the_probes_ask_what_the_process_answers_at_the_port_it_listens_on(pod: Pod) -> None:
    (port,) = pod.container["ports"]
    assert pod.annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
    }
    assert port["containerPort"] == _listens_on(pod)
    for probe, path in [
        ("startupProbe", "/-/healthy"),
        ("livenessProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
    ]:
        assert pod.container[probe]["httpGet"] == {"path": path, "port": port["name"]}


def _listens_on(pod: Pod) -> int:
    if not pod.name.startswith("archive-"):
        return int(Settings().web_port)
    name = pod.name.removeprefix("archive-")
    assert pod.container["args"] == ["faust", "-A", f"pipeline.archive:{name}", "worker"]
    return int(Settings().archive_port) + list(APART).index(name)


@everyone
def test_a_pod_says_what_it_needs_and_what_it_may_take(pod: Pod) -> None:
    for amounts in (pod.container["resources"]["requests"], pod.container["resources"]["limits"]):
        assert amounts.keys() == {"cpu", "memory"}
    assert pod.spec["terminationGracePeriodSeconds"] >= 20


# --- what is selected -------------------------------------------------------------------------


def _selected(selector: dict[str, Any]) -> set[str]:
    wanted = (
        selector
        if "matchLabels" in selector or "matchExpressions" in selector
        else {"matchLabels": selector}
    )
    return {
        pod.name
        for pod in pods()
        if wanted.get("matchLabels", {}).items() <= pod.labels.items()
        and all(pod.labels.get(e["key"]) in e["values"] for e in wanted.get("matchExpressions", []))
    }


def test_selectors_find_the_pods_that_they_mean() -> None:
    for workload in of_kind("Deployment", "StatefulSet"):
        assert _selected(workload["spec"]["selector"]) == {workload["metadata"]["name"]}
    for service in of_kind("Service"):
        assert _selected(service["spec"]["selector"]) == {service["metadata"]["name"]}
    archives = {pod.name for pod in pods() if pod.name.startswith("archive-")}
    everybody = {pod.name for pod in pods()}
    budgets = {
        b["metadata"]["name"]: _selected(b["spec"]["selector"])
        for b in of_kind("PodDisruptionBudget")
    }
    assert budgets == {"worker": {"worker"}, "web": {"web"}, "archive": archives}
    assert {
        p["metadata"]["name"]: _selected(p["spec"]["podSelector"]) for p in of_kind("NetworkPolicy")
    } == {
        "nothing": everybody,
        "kafka": everybody,
        "web": {"web"},
        "metrics": everybody,
        "databases": {"web", *archives} - {"archive-alertmanager"},
        "alertmanager": {"archive-alertmanager"},
    }


def test_whoever_is_allowed_nothing_is_allowed_what_it_needs() -> None:
    nothing = one("NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    kafka = SETTINGS["SMART_IOT_BOOTSTRAP"].rpartition(":")[2]
    _dns, to_kafka = one("NetworkPolicy", "kafka")["spec"]["egress"]
    assert [str(port["port"]) for port in to_kafka["ports"]] == [kafka]
    (databases,) = one("NetworkPolicy", "databases")["spec"]["egress"]
    urls = [SECRETS[name] for name in ("MYSQL_URL", "MONGO_URL", "REDIS_URL")]
    assert [port["port"] for port in databases["ports"]] == [
        int(re.findall(r":(\d+)/", url)[0]) for url in urls
    ]
    (alertmanager,) = one("NetworkPolicy", "alertmanager")["spec"]["egress"]
    (told,) = [pod for pod in pods() if pod.name == "archive-alertmanager"]
    for address in Settings.of(told.environment).alertmanager_urls:
        host, _, port = address.rpartition(":")
        assert [port] == [str(allowed["port"]) for allowed in alertmanager["ports"]]
        (there,) = [place["namespaceSelector"]["matchLabels"] for place in alertmanager["to"]]
        assert host.endswith(f".{there['kubernetes.io/metadata.name']}.svc")


def test_the_loss_of_a_node_ends_no_alert_at_an_alertmanager() -> None:
    """It would, once nothing is told for the hold: pods of a lost node are waited for as long."""
    waited = 300  # seconds; Kubernetes' own toleration of a node that doesn't answer
    assert Settings().alertmanager_hold <= waited
    assert one("Deployment", "archive-alertmanager")["spec"]["replicas"] == 2


# --- secrets ----------------------------------------------------------------------------------


def test_every_secret_that_pods_refer_to_is_made_in_the_guide() -> None:
    wanted: dict[str, set[str]] = {}
    for pod in pods():
        for variable in pod.container["env"]:
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                wanted.setdefault(reference["name"], set()).add(reference["key"])
            elif variable["name"].endswith("_FILE"):
                (secret,) = [
                    v["secret"]["secretName"] for v in pod.spec["volumes"] if "secret" in v
                ]
                wanted.setdefault(secret, set()).add(variable["value"].rpartition("/")[2])
    guide = (ROOT / "docs" / "deploy.md").read_text()
    made = re.findall(r"create secret generic (\S+)((?: \\?\s*--from-\S+)+)", guide)
    assert wanted == {
        name: set(re.findall(r"--from-\w+=([\w-]+)=", options)) for name, options in made
    }


def test_no_secret_stands_in_a_manifest() -> None:
    assert not of_kind("Secret")
    for pod in pods():
        for variable in pod.container["env"]:
            secret = variable["name"].removeprefix(PREFIX) in SECRETS
            assert ("valueFrom" in variable) is secret
    assert not {name for name in SETTINGS if name.removeprefix(PREFIX) in SECRETS}
