"""Kubernetes manifests: validity by the official schemas, security rules, consistency with params.yaml."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import kubernetes_validate
import pytest
import yaml

from experiments.config import load_params
from pipelines.rollout.params_conversion import build_policy
from service.kubernetes_analysis_job import ExitCode, read_analysis_policy

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES_VERSION = "1.31"
VARIANTS = ("base", "argo", "gateway-api")
Manifest = dict[str, Any]


class ManifestKey(NamedTuple):
    """Identity of a manifest."""

    variant: str
    file: str
    kind: str
    name: str


def read_manifests(folder: str) -> Iterator[tuple[Path, Manifest]]:
    """Yield the manifests of a kustomization, including those of the folders it builds on."""
    kustomization = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        path = (MANIFESTS / folder / name).resolve()
        if path.is_dir():
            yield from read_manifests(str(path.relative_to(MANIFESTS)))
        else:
            yield from ((path, manifest) for manifest in yaml.safe_load_all(path.read_text()))


ALL_MANIFESTS = {
    ManifestKey(variant, path.name, manifest["kind"], manifest["metadata"]["name"]): manifest
    for variant in VARIANTS
    for path, manifest in read_manifests(variant)
}


def find_manifest(kind: str, name: str | None = None) -> Manifest:
    """Return the first manifest of a kind, with a name if one is given."""
    return next(
        manifest
        for key, manifest in ALL_MANIFESTS.items()
        if key.kind == kind and (name is None or key.name == name)
    )


def pod_specs() -> Iterator[tuple[str, Manifest]]:
    """Yield the specification of each pod that a manifest starts, with the name of its file."""
    for key, manifest in ALL_MANIFESTS.items():
        file, spec = f"{key.variant}/{key.file}", manifest.get("spec", {})
        if key.kind == "Deployment":
            yield file, spec["template"]["spec"]
        elif key.kind == "CronJob":
            yield file, spec["jobTemplate"]["spec"]["template"]["spec"]
        elif key.kind == "AnalysisTemplate":
            for metric in spec["metrics"]:
                if "job" in metric["provider"]:
                    yield file, metric["provider"]["job"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("key", ALL_MANIFESTS, ids="/".join)
def test_manifest_is_valid(key: ManifestKey) -> None:
    validate(ALL_MANIFESTS[key])


def validate(manifest: Manifest) -> None:
    schema = SCHEMAS / f"{manifest['kind'].lower()}.json"
    if schema.exists():
        jsonschema.validate(manifest, json.loads(schema.read_text()))
    else:
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def evidence_metric() -> Manifest:
    """Return the metric of Argo's analysis that runs our Job."""
    metric: Manifest = find_manifest("AnalysisTemplate", "marquee")["spec"]["metrics"][0]
    return metric


def analysis_jobs() -> dict[str, Manifest]:
    """Return the specification of the analysis Job by variant."""
    return {
        "argo": evidence_metric()["provider"]["job"]["spec"],
        "gateway-api": find_manifest("CronJob", "marquee-analysis")["spec"]["jobTemplate"]["spec"],
    }


def test_job_of_the_analysis_template_is_valid() -> None:
    spec = analysis_jobs()["argo"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "marquee"}, "spec": spec}
    kubernetes_validate.validate(job, KUBERNETES_VERSION, strict=True)


UNLIMITED = 2**31 - 1  # the largest value that a limit can have
OTHER_CODES = sorted({*range(1, 256)} - {ExitCode.ROLL_BACK})


def fails_job(spec: Manifest, code: int) -> bool:
    """Return True if a pod with this exit code fails its Job; Kubernetes applies the first matching rule."""
    for rule in spec["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            containers = {container["name"] for container in spec["template"]["spec"]["containers"]}
            assert codes["containerName"] in containers
            return bool(rule["action"] == "FailJob")
    return bool(spec["backoffLimit"] < UNLIMITED)


@pytest.mark.parametrize("variant", ["argo", "gateway-api"])
def test_only_the_roll_back_verdict_fails_the_job(variant: str) -> None:
    spec = analysis_jobs()[variant]
    assert fails_job(spec, ExitCode.ROLL_BACK)
    assert not [code for code in OTHER_CODES if fails_job(spec, code)]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "a podFailurePolicy requires it"
    assert "activeDeadlineSeconds" not in spec, "a deadline would fail the Job of a long analysis"


def test_argo_rolls_back_after_a_failed_job_only() -> None:
    metric = evidence_metric()
    assert (metric["failureLimit"], metric["consecutiveErrorLimit"]) == (0, UNLIMITED)


@pytest.mark.parametrize("variant", ["argo", "gateway-api"])
def test_job_runs_the_analysis_of_the_bento(variant: str) -> None:
    (container,) = analysis_jobs()[variant]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "service.kubernetes_analysis_job"]
    assert container["workingDir"] == "/home/bentoml/bento/src"


def test_guide_documents_each_exit_code() -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in guide.splitlines() if line.startswith("| ")]
    assert {str(code.value) for code in ExitCode} | {"other"} <= set(rows)


def test_every_manifest_is_part_of_a_kustomization() -> None:
    used = set()
    for path in MANIFESTS.glob("*/kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        names = [*kustomization.get("resources", []), *kustomization.get("components", [])]
        names += [patch["path"] for patch in kustomization.get("patches", []) if "path" in patch]
        used |= {(path.parent / name).resolve() for name in names}
    files = {path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files <= used
    assert all(path.exists() for path in used)


@pytest.mark.parametrize("pod", [pytest.param(pod, id=file) for file, pod in pod_specs()])
def test_pod_has_limits_and_no_privileges(pod: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])


def test_every_image_has_the_tag_of_a_bento() -> None:
    tags = [
        image["newTag"]
        for path in MANIFESTS.glob("*/kustomization.yaml")
        for image in yaml.safe_load(path.read_text()).get("images", [])
    ]
    assert [len(tag) for tag in tags] == [12, 12]  # of the champion, and of the challenger in `gateway-api`
    for _, pod in pod_specs():
        assert [container["image"] for container in pod["containers"]] == [
            "marquee"
        ]  # kustomize adds the tag


@pytest.mark.parametrize("key", [key for key in ALL_MANIFESTS if key.kind in {"Deployment", "Rollout"}])
def test_number_of_replicas_is_left_to_the_autoscaler(key: ManifestKey) -> None:
    assert "replicas" not in ALL_MANIFESTS[key]["spec"]


@pytest.mark.parametrize("key", [key for key in ALL_MANIFESTS if key.kind == "Deployment"])
def test_replicas_are_spread_probed_and_drained(key: ManifestKey) -> None:
    spec = ALL_MANIFESTS[key]["spec"]["template"]["spec"]
    assert spec["topologySpreadConstraints"]
    container = spec["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    pre_stop_s, worker_grace_s = 5, 10
    assert spec["terminationGracePeriodSeconds"] > pre_stop_s + worker_grace_s


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_deployment_has_an_autoscaler_and_a_disruption_budget(variant: str) -> None:
    manifests = {key: manifest for key, manifest in ALL_MANIFESTS.items() if key.variant == variant}
    min_replicas = {
        manifest["spec"]["scaleTargetRef"]["name"]: manifest["spec"]["minReplicas"]
        for key, manifest in manifests.items()
        if key.kind == "HorizontalPodAutoscaler"
    }
    budgets = {
        manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for key, manifest in manifests.items()
        if key.kind == "PodDisruptionBudget"
    }
    deployments = {key.name for key in manifests if key.kind == "Deployment"}
    assert set(min_replicas) == budgets == deployments
    assert min(min_replicas.values()) >= 2


def test_public_route_excludes_feedback() -> None:
    route = find_manifest("HTTPRoute")
    paths = {match["path"]["value"] for rule in route["spec"]["rules"] for match in rule["matches"]}
    assert "/recommend" in paths
    assert not any("/feedback".startswith(path) for path in paths)


def test_network_policy_admits_three_roles_and_no_egress() -> None:
    policy = find_manifest("NetworkPolicy")["spec"]
    assert policy["egress"] == []
    sources = policy["ingress"][0]["from"]
    roles = {source["namespaceSelector"]["matchLabels"]["marquee.example.com/role"] for source in sources}
    assert roles == {"gateway", "monitoring", "backend"}


def test_policy_equals_that_of_params_yaml(tmp_path: Path) -> None:
    config_map = find_manifest("ConfigMap", "marquee-policy")
    path = tmp_path / "policy.json"
    path.write_text(config_map["data"]["policy.json"])
    params = load_params(ROOT / "params.yaml")
    expected, deployed = build_policy(params.canary), read_analysis_policy(path)
    assert deployed.policy.steps == expected.steps
    assert deployed.policy.alpha == expected.alpha / len(expected.steps)
    divided = {"steps", "alpha", "guardrail_alpha"}  # each Job analyzes one step, at its share of the levels
    equal = [field.name for field in fields(expected) if field.name not in divided]
    assert [getattr(deployed.policy, name) for name in equal] == [getattr(expected, name) for name in equal]
    assert deployed.attribution_window_seconds == 60 * params.canary.attribution_window_minutes
    assert (deployed.objective, deployed.slow_ms) == (params.canary.objective, params.gateway.slow_ms)


def test_argo_uses_the_steps_of_the_policy() -> None:
    steps = find_manifest("Rollout")["spec"]["strategy"]["canary"]["steps"]
    weights = [step["setWeight"] / 100 for step in steps if "setWeight" in step]
    assert (*weights, 1.0) == load_params(ROOT / "params.yaml").canary.steps
    arguments = [step["analysis"]["args"][0] for step in steps if "analysis" in step]
    assert arguments == [{"name": "step", "value": str(number)} for number in range(len(weights))]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("variant", VARIANTS)
def test_kustomization_is_built_with_the_tag_set_in_one_file(tmp_path: Path, variant: str) -> None:
    copy = tmp_path / "kubernetes"
    shutil.copytree(MANIFESTS, copy)
    image = copy / "image" / "kustomization.yaml"
    image.write_text(image.read_text().replace("664ab013b0aa", "0123456789ab"))
    command = ["kubectl", "kustomize", str(copy / variant)]
    build = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unknown field" in build.stderr:
        pytest.skip("this kubectl does not support inline patches")
    assert build.returncode == 0, build.stderr
    manifests = list(yaml.safe_load_all(build.stdout))
    assert {manifest["metadata"]["name"] for manifest in manifests} >= {"marquee", "events"}
    for manifest in manifests:  # after patches, names and tags are applied
        validate(manifest)
    images = [line.split()[-1] for line in build.stdout.splitlines() if line.strip().startswith("image:")]
    tags = {image.partition(":")[2] for image in images}
    assert tags == {"0123456789ab"} | ({"2ce058ab5d2e"} if variant == "gateway-api" else set())
