"""The manifests: valid by the official schemas, safe by our own rules, and of one mind with params.yaml."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from experiments.config.offline import load_params
from pipelines.rollout.policy_config import policy_of
from service.analysis import ExitCode, read_policy

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
VERSION = "1.31"
WAYS = ("base", "argo", "gateway-api")
Manifest = dict[str, Any]


def manifests(folder: str, seen: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, Manifest]]:
    """Every manifest that a kustomization names, with those of the folders that it builds on."""
    told = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text())
    for name in told["resources"]:
        path = (MANIFESTS / folder / name).resolve()
        if path.is_dir():
            yield from manifests(str(path.relative_to(MANIFESTS)), seen | {path})
        else:
            yield from ((path, each) for each in yaml.safe_load_all(path.read_text()))


EVERY = {
    (way, path.name, each["kind"], each["metadata"]["name"]): each
    for way in WAYS
    for path, each in manifests(way)
}


def pods() -> Iterator[tuple[str, Manifest]]:
    """The specification of every pod that any of them would start."""
    for (way, file, kind, _), each in EVERY.items():
        spec = each.get("spec", {})
        if kind == "Deployment":
            yield f"{way}/{file}", spec["template"]["spec"]
        elif kind == "CronJob":
            yield f"{way}/{file}", spec["jobTemplate"]["spec"]["template"]["spec"]
        elif kind == "AnalysisTemplate":
            for metric in spec["metrics"]:
                if "job" in metric["provider"]:
                    yield f"{way}/{file}", metric["provider"]["job"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("key", EVERY, ids="/".join)
def test_a_manifest_is_valid_by_its_schema(key: tuple[str, ...]) -> None:
    manifest = EVERY[key]
    validate(manifest)


def validate(manifest: Manifest) -> None:
    schema = SCHEMAS / f"{manifest['kind'].lower()}.json"
    if schema.exists():
        jsonschema.validate(manifest, json.loads(schema.read_text()))
    else:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def analysis_metric() -> Manifest:
    """The metric of Argo's template that runs our analysis."""
    template = next(each for key, each in EVERY.items() if key[2:] == ("AnalysisTemplate", "marquee"))
    metric: Manifest = template["spec"]["metrics"][0]
    return metric


def analysis_jobs() -> dict[str, Manifest]:
    """The specification of the analysis' Job, by way of deployment."""
    cron = next(each for key, each in EVERY.items() if key[2:] == ("CronJob", "marquee-analysis"))
    return {
        "argo": analysis_metric()["provider"]["job"]["spec"],
        "gateway-api": cron["spec"]["jobTemplate"]["spec"],
    }


def test_a_job_within_an_analysis_is_valid_too() -> None:
    spec = analysis_jobs()["argo"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "marquee"}, "spec": spec}
    kubernetes_validate.validate(job, VERSION, strict=True)


NEVER = 2**31 - 1  # the largest number that the fields of limits take
OTHER_CODES = sorted({*range(1, 256)} - {ExitCode.ROLL_BACK})


def job_fails(spec: Manifest, code: int) -> bool:
    """Whether a pod that ends with the code fails its Job; Kubernetes takes the first rule that matches."""
    for rule in spec["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            assert codes["containerName"] in {each["name"] for each in spec["template"]["spec"]["containers"]}
            return bool(rule["action"] == "FailJob")
    return bool(spec["backoffLimit"] < NEVER)


@pytest.mark.parametrize("way", ["argo", "gateway-api"])
def test_only_a_verdict_fails_the_job_and_every_other_exit_code_holds(way: str) -> None:
    spec = analysis_jobs()[way]
    assert job_fails(spec, ExitCode.ROLL_BACK)
    assert not [code for code in OTHER_CODES if job_fails(spec, code)]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "else the failure policy is not valid"
    assert "activeDeadlineSeconds" not in spec, "a Job that takes long fails by it"


def test_argo_rolls_back_by_a_failed_job_and_not_by_one_that_cannot_be_created() -> None:
    metric = analysis_metric()
    assert (metric["failureLimit"], metric["consecutiveErrorLimit"]) == (0, NEVER)


@pytest.mark.parametrize("way", ["argo", "gateway-api"])
def test_the_job_runs_the_analysis_of_the_bento(way: str) -> None:
    (container,) = analysis_jobs()[way]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "service.analysis"]
    assert container["workingDir"] == "/home/bentoml/bento/src"


def test_the_guide_tells_what_each_exit_code_means() -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in guide.splitlines() if line.startswith("| ")]
    assert {str(code.value) for code in ExitCode} | {"any other"} <= set(rows)


def test_every_file_of_manifests_is_part_of_a_kustomization() -> None:
    used = set()
    for path in MANIFESTS.glob("*/kustomization.yaml"):
        told = yaml.safe_load(path.read_text())
        named = [*told.get("resources", []), *told.get("components", [])]
        named += [patch["path"] for patch in told.get("patches", []) if "path" in patch]
        used |= {(path.parent / name).resolve() for name in named}
    files = {path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files <= used
    assert all(path.exists() for path in used)


@pytest.mark.parametrize(("where", "pod"), list(pods()))
def test_a_pod_runs_without_rights_and_within_limits(where: str, pod: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])


def test_no_image_is_called_latest_or_has_no_tag() -> None:
    tags = [
        image["newTag"]
        for path in MANIFESTS.glob("*/kustomization.yaml")
        for image in yaml.safe_load(path.read_text()).get("images", [])
    ]
    assert [len(tag) for tag in tags] == [12, 12]  # the champion's, and the challenger's without Argo
    for _, pod in pods():
        assert [container["image"] for container in pod["containers"]] == ["marquee"]  # tagged by kustomize


def test_there_are_two_replicas_at_least_and_they_are_spread_and_probed() -> None:
    for key, each in EVERY.items():
        if key[2] in {"Deployment", "Rollout"}:  # a number here would undo the autoscaler's at every deploy
            assert "replicas" not in each["spec"]
        if key[2] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            assert spec["topologySpreadConstraints"]
            container = spec["containers"][0]
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
            grace = spec["terminationGracePeriodSeconds"]
            assert grace > 5 + 10  # the pause before, and the worker's own patience


@pytest.mark.parametrize("way", WAYS)
def test_every_deployment_has_two_replicas_at_least_and_is_not_taken_down_at_once(way: str) -> None:
    mine = {key[2:]: each for key, each in EVERY.items() if key[0] == way}
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"]
        for key, each in mine.items()
        if key[0] == "HorizontalPodAutoscaler"
    }
    kept = [
        each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for key, each in mine.items()
        if key[0] == "PodDisruptionBudget"
    ]
    deployed = {key[1] for key in mine if key[0] == "Deployment"}
    assert set(scaled) == set(kept) == deployed
    assert min(scaled.values()) >= 2


def test_nobody_gives_feedback_past_a_key() -> None:
    route = next(each for key, each in EVERY.items() if key[2] == "HTTPRoute")
    paths = {match["path"]["value"] for rule in route["spec"]["rules"] for match in rule["matches"]}
    assert "/recommend" in paths
    assert not any("/feedback".startswith(path) for path in paths)


def test_the_network_lets_in_only_gateway_and_monitoring_and_nothing_out() -> None:
    policy = next(each for key, each in EVERY.items() if key[2] == "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    sources = policy["ingress"][0]["from"]
    roles = {source["namespaceSelector"]["matchLabels"]["marquee.example.com/role"] for source in sources}
    assert roles == {"gateway", "monitoring", "backend"}


def test_the_policy_is_that_of_params_yaml(tmp_path: Path) -> None:
    told = next(each for key, each in EVERY.items() if key[2:] == ("ConfigMap", "marquee-policy"))
    path = tmp_path / "policy.json"
    path.write_text(told["data"]["policy.json"])
    params = load_params(ROOT / "params.yaml")
    ours, there = policy_of(params.canary), read_policy(path)
    assert there.policy.steps == ours.steps
    assert there.policy.alpha == ours.alpha / len(ours.steps)
    told_once = {"steps", "alpha", "guardrail_alpha"}
    same = [field.name for field in fields(ours) if field.name not in told_once]
    assert [getattr(there.policy, name) for name in same] == [getattr(ours, name) for name in same]
    assert there.window_seconds == 60 * params.canary.window_minutes
    assert (there.objective, there.slow_ms) == (params.canary.objective, params.gateway.slow_ms)


def test_argo_walks_the_steps_of_the_policy() -> None:
    rollout = next(each for key, each in EVERY.items() if key[2] == "Rollout")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    weights = [step["setWeight"] / 100 for step in steps if "setWeight" in step]
    assert (*weights, 1.0) == load_params(ROOT / "params.yaml").canary.steps
    judged = [step["analysis"]["args"][0] for step in steps if "analysis" in step]
    assert judged == [{"name": "step", "value": str(number)} for number in range(len(weights))]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl builds a kustomization; it is not here")
@pytest.mark.parametrize("way", WAYS)
def test_a_kustomization_can_be_built_and_takes_its_image_from_one_place(tmp_path: Path, way: str) -> None:
    copy = tmp_path / "kubernetes"
    shutil.copytree(MANIFESTS, copy)
    place = copy / "image" / "kustomization.yaml"
    place.write_text(place.read_text().replace("664ab013b0aa", "0123456789ab"))
    command = ["kubectl", "kustomize", str(copy / way)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unknown field" in built.stderr:
        pytest.skip("this kubectl is older than inline patches")
    assert built.returncode == 0, built.stderr
    made = list(yaml.safe_load_all(built.stdout))
    assert {each["metadata"]["name"] for each in made} >= {"marquee", "events"}
    for manifest in made:  # as they are applied: patched, named and tagged
        validate(manifest)
    images = [line.split()[-1] for line in built.stdout.splitlines() if line.strip().startswith("image:")]
    tags = {image.partition(":")[2] for image in images}
    assert tags == {"0123456789ab"} | ({"2ce058ab5d2e"} if way == "gateway-api" else set())
