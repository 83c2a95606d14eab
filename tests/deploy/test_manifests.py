"""The Kubernetes manifests, rendered by Kustomize: by the schemas of Kubernetes, and by what the service needs."""

import re
from copy import deepcopy
from pathlib import Path

import kubernetes_validate
import pytest
from deploy_files import (
    KUBERNETES,
    SECRETS,
    Manifest,
    Manifests,
    check_serves,
    env_file,
    filled,
    leaving_s,
    name_of,
    paths_of_the_service,
    rendered,
)

from phonebot.call.call import SILENT_CARRIER_MS
from phonebot.serving import AFTER_S
from phonebot.web.draining import MOVES_S

VERSIONS = ("1.27", kubernetes_validate.latest_version())
NGINX = "nginx.ingress.kubernetes.io"
DOCKERFILE = (KUBERNETES.parents[1] / "Dockerfile").read_text("utf-8")


# ------------------------------------------------------------------------------ by the schemas


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_kubernetes_takes(manifests: Manifests, version: str) -> None:
    for manifest in manifests.all:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_is_found(production: Manifests) -> None:
    broken = deepcopy(production.one("Deployment"))
    broken["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_an_overlay_has_all_that_is_needed_in_its_namespace_and_no_secret(manifests: Manifests) -> None:
    kinds = {each["kind"] for each in manifests.all}
    assert kinds >= {
        *("Namespace", "ServiceAccount", "ConfigMap", "Deployment", "Service", "Ingress", "NetworkPolicy"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler"),
    }
    assert "Secret" not in kinds
    namespaces = {each["metadata"].get("namespace") for each in manifests.all if each["kind"] != "Namespace"}
    assert namespaces == {name_of(next(manifests.of("Namespace")))}


# ------------------------------------------------------------------------------ what refers to what


def test_whatever_a_manifest_names_is_there(manifests: Manifests) -> None:
    pod, labels = manifests.pod, manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pod["serviceAccountName"] in map(name_of, manifests.of("ServiceAccount"))
    claims = [each["persistentVolumeClaim"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert {claim["claimName"] for claim in claims} == set(map(name_of, manifests.of("PersistentVolumeClaim")))
    for container in manifests.containers:
        assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
        assert container["envFrom"] == [
            {"configMapRef": {"name": name_of(manifests.one("ConfigMap", "phonebot-settings"))}},
            {"secretRef": {"name": "phonebot-secrets"}},
        ]
    for selector in _selectors(manifests):
        assert selector.items() <= labels.items()
    assert manifests.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "phonebot"


def _selectors(manifests: Manifests) -> list[dict[str, str]]:
    return [
        manifests.one("Deployment")["spec"]["selector"]["matchLabels"],
        manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifests.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(service["spec"]["selector"] for service in manifests.of("Service")),
        *(each["labelSelector"]["matchLabels"] for each in manifests.pod["topologySpreadConstraints"]),
    ]


def test_every_way_to_a_pod_ends_at_the_port_it_listens_on(manifests: Manifests) -> None:
    (serving,) = manifests.pod["containers"]
    (port,) = serving["ports"]
    assert str(port["containerPort"]) == manifests.settings["PHONEBOT_PORT"]
    assert f"PHONEBOT_PORT={port['containerPort']}" in DOCKERFILE
    for service in manifests.of("Service"):
        assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    (let_in,) = manifests.one("NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in let_in["ports"]] == [port["name"]]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert serving[probe]["httpGet"]["port"] == port["name"]
    services = {name_of(each): {port["name"] for port in each["spec"]["ports"]} for each in manifests.of("Service")}
    for path in _paths(manifests):
        assert path["backend"]["service"]["port"]["name"] in services[path["backend"]["service"]["name"]]


def _paths(manifests: Manifests) -> list[Manifest]:
    return [path for each in manifests.of("Ingress") for path in each["spec"]["rules"][0]["http"]["paths"]]


# ------------------------------------------------------------------------------ the settings


def test_a_pod_starts_with_its_settings_and_secrets(manifests: Manifests) -> None:
    secrets = env_file(KUBERNETES / "secrets.env.example")
    settings = manifests.settings
    assert not settings.keys() & secrets.keys()
    assert secrets.keys() >= SECRETS.keys()
    check_serves(settings | filled(secrets))


def test_the_settings_of_a_service_by_its_name_are_kept_from_the_pod(manifests: Manifests) -> None:
    """PHONEBOT_PORT=tcp://... of a Service `phonebot` would be taken for a setting."""
    assert manifests.pod["enableServiceLinks"] is False


def test_the_host_is_that_of_the_public_url(manifests: Manifests) -> None:
    host = manifests.settings["PHONEBOT_PUBLIC_URL"].removeprefix("https://")
    for ingress in manifests.of("Ingress"):
        (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
        assert (rule["host"], tls["hosts"]) == (host, [host])


# ------------------------------------------------------------------------------ probes, routes, stickiness


def test_every_probe_asks_for_a_route_of_the_service(manifests: Manifests, tmp_path: Path) -> None:
    paths = paths_of_the_service(tmp_path)
    (serving,) = manifests.pod["containers"]
    probed = {probe: serving[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert probed == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert paths >= set(probed.values())


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/twilio/voice", "phonebot"),
        ("/twilio/media", "phonebot"),
        ("/twilio/after", "phonebot"),
        ("/api/v1/calls", "phonebot"),
        ("/recordings/token", "phonebot"),
        ("/console/try", "phonebot-console"),
        ("/console/media", "phonebot-console"),
        ("/", "phonebot-console"),
        ("/login", "phonebot-console"),
    ],
)
def test_what_has_to_stick_to_a_pod_does_and_nothing_else(manifests: Manifests, path: str, service: str) -> None:
    assert _leads_to(manifests, path) == service
    sticks = {
        each["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
        for each in manifests.of("Ingress")
        if each["metadata"]["annotations"].get(f"{NGINX}/affinity") == "cookie"
    }
    assert sticks == {"phonebot-console"}


def _leads_to(manifests: Manifests, path: str) -> str:
    """As ingress-nginx decides: the longest path that fits, by whole segments."""
    fitting = [
        each
        for each in _paths(manifests)
        if path == each["path"] or (each["pathType"] == "Prefix" and f"{path}/".startswith(_segment(each["path"])))
    ]
    return str(max(fitting, key=lambda each: len(each["path"]))["backend"]["service"]["name"])


def _segment(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def test_what_twilio_asks_may_be_asked_of_another_pod_and_what_programs_ask_only_if_nobody_was_reached(
    manifests: Manifests,
) -> None:
    """To place a call twice is not to ask twice."""
    elsewhere = {
        name_of(each): set(each["metadata"]["annotations"][f"{NGINX}/proxy-next-upstream"].split())
        for each in manifests.of("Ingress")
    }
    assert elsewhere == {
        "phonebot-twilio": {"error", "timeout", "http_503", "non_idempotent"},
        "phonebot": {"error", "timeout"},
        "phonebot-console": {"error", "timeout", "http_503"},
    }


def test_no_proxy_cuts_a_call_that_is_silent_and_none_keeps_what_is_told(manifests: Manifests) -> None:
    for ingress in manifests.of("Ingress"):
        has = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
        assert int(has["proxy-read-timeout"]) > SILENT_CARRIER_MS / 1000
        assert int(has["proxy-send-timeout"]) > SILENT_CARRIER_MS / 1000
        assert has["proxy-buffering"] == "off"


# ------------------------------------------------------------------------------ stopping, deploying


def test_a_pod_has_the_time_that_its_calls_need_to_end_or_to_move(manifests: Manifests) -> None:
    (serving,) = manifests.pod["containers"]
    (slept,) = re.findall(r"^sleep (\d+)$", " ".join(serving["lifecycle"]["preStop"]["exec"]["command"]))
    needed_s = int(slept) + int(manifests.settings["PHONEBOT_DRAIN_S"]) + leaving_s()
    assert leaving_s() >= MOVES_S + AFTER_S
    assert manifests.pod["terminationGracePeriodSeconds"] >= needed_s
    readiness = serving["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= int(slept)


def test_a_deploy_takes_no_pod_away_before_another_one_is_ready(manifests: Manifests) -> None:
    strategy = manifests.one("Deployment")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    # The autoscaler decides how many there are.
    assert "replicas" not in manifests.one("Deployment")["spec"]
    assert manifests.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] > 1
    assert manifests.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_tables_are_made_before_a_pod_serves_by_the_same_image(manifests: Manifests) -> None:
    (migrate,), (serving,) = manifests.pod["initContainers"], manifests.pod["containers"]
    assert (migrate["args"], serving["args"]) == (["db", "upgrade"], ["serve"])
    assert migrate["image"] == serving["image"]
    assert re.fullmatch(r"[a-z0-9.-]+/phonebot:\d+\.\d+\.\d+", serving["image"]), "a tag that is not moved"


def test_a_pod_has_no_rights_and_writes_into_its_volumes_alone(manifests: Manifests) -> None:
    """As the Pod Security Standard `restricted` wants, and the image's user."""
    pod = manifests.pod["securityContext"]
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert f"USER {pod['runAsUser']}" in DOCKERFILE
    assert f"--gid {pod['runAsGroup']}" in DOCKERFILE
    assert pod["fsGroup"] == pod["runAsGroup"]
    assert manifests.pod["automountServiceAccountToken"] is False
    for container in manifests.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = [each["mountPath"] for each in container["volumeMounts"]]
        assert mounted == [manifests.settings["PHONEBOT_DATA_DIR"], "/tmp"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_the_spool_outlives_its_pod_and_is_seen_by_all(production: Manifests) -> None:
    assert production.one("PersistentVolumeClaim", "phonebot-data")["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,) = (each for each in rendered("overlays/example-local-spool").pod["volumes"] if each["name"] == "data")
    assert volume["emptyDir"]
    assert "persistentVolumeClaim" not in volume


# ------------------------------------------------------------------------------ who talks to whom


def test_nobody_but_the_proxy_and_prometheus_reaches_a_pod(manifests: Manifests) -> None:
    policy = manifests.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (let_in,) = policy["ingress"]
    assert [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in let_in["from"]] == [
        "ingress-nginx",
        "monitoring",
    ]
    assert all(each["podSelector"]["matchLabels"] for each in let_in["from"])


def test_a_pod_reaches_names_its_database_and_the_web(manifests: Manifests) -> None:
    egress = manifests.one("NetworkPolicy")["spec"]["egress"]
    assert [[(each["protocol"], each["port"]) for each in rule["ports"]] for rule in egress] == [
        [("UDP", 53), ("TCP", 53)],
        [("TCP", 5432)],
        [("TCP", 443)],
    ]
    assert egress[1]["to"], "the overlay says where the database is"


def test_every_kustomization_and_every_file_beside_it_is_used() -> None:
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        text = kustomization.read_text("utf-8")
        beside = {path.name for path in kustomization.parent.glob("*.yaml")} - {kustomization.name}
        assert {name for name in beside if name not in text} == set(), kustomization
