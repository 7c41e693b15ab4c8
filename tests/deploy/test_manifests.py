"""What is deployed by other programs, held to their published schemas and linters."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.errors import SettingsError
from daemon.process.engine_client import RAY_SETTINGS
from daemon.settings.settings import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERAY = DEPLOY / "kubernetes" / "meterd-kuberay.yaml"
RAY_CLUSTER = "RayCluster"


def _runs(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


def _fault_in(path: Path, text: str, instead: str, folder: Path) -> Path:
    """A copy with a fault, to see that whoever checks it is able to fail."""
    content = path.read_text()
    assert text in content
    copy = folder / path.name
    copy.write_text(content.replace(text, instead, 1))
    return copy


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def _pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a document: of a StatefulSet, or of a RayCluster's groups."""
    spec = document.get("spec", {})
    if document["kind"] != RAY_CLUSTER:
        return [spec["template"]] if "template" in spec else []
    return [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def _plain(path: Path, folder: Path) -> Path:
    """The documents without those of KubeRay, whose pod templates come as documents of their own.

    No package has the schema of a RayCluster. What is in a pod template is Kubernetes' own, and
    that is nearly all of it.
    """
    plain: list[dict[str, Any]] = []
    for document in _documents(path):
        if document["kind"] != RAY_CLUSTER:
            plain.append(document)
            continue
        for number, template in enumerate(_pod_templates(document)):
            metadata = {"name": f"template-{number}"}
            head = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata}
            plain.append({**head, "template": template})
    copy = folder / path.name
    copy.write_text(yaml.safe_dump_all(plain, sort_keys=False))
    return copy


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path, tmp_path: Path) -> None:
    """Strictly: no field that Kubernetes would ignore, in any pod template either."""
    command = BIN / "kubernetes-validate", "--strict"
    plain = _plain(path, tmp_path)
    done = _runs(*command, plain)
    assert done.returncode == 0, done.stdout + done.stderr
    text = plain.read_text()
    places = [found.start() for found in re.finditer("readinessProbe:", text)]
    assert places
    for place in places:
        plain.write_text(f"{text[:place]}readynessProbe:{text[place + len('readinessProbe:') :]}")
        assert _runs(*command, plain).returncode != 0


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_container_is_confined_and_probed(path: Path) -> None:
    """Not root, nothing to gain, nothing to write but its volumes; no service's variables."""
    for document in _documents(path):
        for template in _pod_templates(document):
            pod = template["spec"]
            assert pod["automountServiceAccountToken"] is False
            assert pod["enableServiceLinks"] is False, "they would be taken for settings"
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["livenessProbe"]
                assert container["readinessProbe"]
                assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_set_what_there_is_to_set(path: Path, tmp_path: Path) -> None:
    """Each variable of meterd's is a setting, and the image is of this version."""
    release = _project()["version"]
    for document in _documents(path):
        for template in _pod_templates(document):
            for container in template["spec"]["containers"]:
                name, _, tag = container["image"].rpartition(":")
                assert name != "meterd" or tag == release
                found = {one["name"]: one.get("value", "") for one in container.get("env", [])}
                _assert_settings(found, tmp_path)


def _assert_settings(variables: Mapping[str, str], home: Path) -> None:
    """meterd understands each of its variables; secrets that come from elsewhere aside."""
    mine = {name: value for name, value in variables.items() if name.startswith("METERD_")}
    secret = {"METERD_HTTP__JWT_SECRET": "s" * 32, "METERD_HOME": str(home)}
    load_settings(env={**secret, **mine})
    with pytest.raises(SettingsError, match="METERD_HTTP__HOSTS: unknown setting"):
        load_settings(env={**secret, **mine, "METERD_HTTP__HOSTS": "x"})


def test_the_environment_of_two_machines_is_understood(tmp_path: Path) -> None:
    """Each line is a setting or a comment, in a form that systemd reads; both URLs are named."""
    lines = (DEPLOY / "meterd.environment").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert found.keys() >= {"METERD_REDIS__URL", "METERD_POSTGRES__URL"}
    assert not [value for value in found.values() if re.search(r"[\s\"'\\\\$#]", value)]
    _assert_settings(found, tmp_path)
    unit = (DEPLOY / "meterd.service").read_text()
    assert "EnvironmentFile=-/etc/meterd/environment" in unit
    assert "/etc/meterd/environment" in lines[0]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_selectors_select_pods_of_the_manifest(path: Path) -> None:
    """Services, budgets and policies; KubeRay puts labels of its own on its pods."""
    documents = _documents(path)
    pods = [labels for document in documents for labels in _labels(document)]
    for document in documents:
        spec = document.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector)
        assert document["kind"] in (RAY_CLUSTER, "ServiceAccount") or wanted
        assert not wanted or any(wanted.items() <= labels.items() for labels in pods), wanted


def _labels(document: dict[str, Any]) -> list[dict[str, str]]:
    if document["kind"] != RAY_CLUSTER:
        return [one["metadata"]["labels"] for one in _pod_templates(document)]
    cluster = {"ray.io/cluster": document["metadata"]["name"]}
    head = {**cluster, "ray.io/node-type": "head", "ray.io/group": "headgroup"}
    groups = [group["groupName"] for group in document["spec"]["workerGroupSpecs"]]
    workers = [{**cluster, "ray.io/node-type": "worker", "ray.io/group": one} for one in groups]
    return [head, *workers]


def test_the_ray_cluster_is_one_that_a_daemon_can_join() -> None:
    """What no schema says: versions, the token, and what a daemon and its node have in common."""
    documents = {(one["kind"], one["metadata"]["name"]): one for one in _documents(KUBERAY)}
    cluster = documents[RAY_CLUSTER, "meterd"]
    spec, head = cluster["spec"], cluster["spec"]["headGroupSpec"]
    (group,) = spec["workerGroupSpecs"]
    assert cluster["apiVersion"] == "ray.io/v1"
    assert spec.keys() == {
        "rayVersion", "gcsFaultToleranceOptions", "headGroupSpec", "workerGroupSpecs",
    }  # fmt: skip
    assert f"ray=={spec['rayVersion']}" in _project()["dependencies"]
    address = spec["gcsFaultToleranceOptions"]["redisAddress"]
    assert ("Service", re.fullmatch(r"redis://([a-z-]+):6379", address)[1]) in documents  # type: ignore[index]
    assert all(isinstance(v, str) for one in (head, group) for v in one["rayStartParams"].values())
    assert head["rayStartParams"]["num-cpus"] == "0", "no actor runs beside the head"
    assert int(group["rayStartParams"]["num-cpus"]) > 0
    (ray_head,) = head["template"]["spec"]["containers"]
    pod = group["template"]["spec"]
    node, daemon = pod["containers"]
    assert pod["shareProcessNamespace"] is True, "the daemon looks after processes of the node"
    assert node["volumeMounts"] == daemon["volumeMounts"], "sockets, shared memory, logs"
    assert ray_head["image"] == node["image"] == daemon["image"], "one Ray, one Python"
    variables = [
        {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
        for container in (ray_head, node, daemon)
    ]
    assert len({str(one["RAY_AUTH_TOKEN"]) for one in variables}) == 1
    assert {one["RAY_AUTH_MODE"] for one in variables} == {"token"}
    assert variables[2]["METERD_RAY__ADDRESS"] == f"{cluster['metadata']['name']}-head-svc:6379"
    for name, value in RAY_SETTINGS.items():
        assert [one[name] for one in variables[:2]] == [value] * 2
    # KubeRay names 8080 for Ray's metrics where nothing is said, and that is the daemon's.
    params, ports = group["rayStartParams"], _ports(node)
    assert (ports["raylet"], ports["metrics"]) == tuple(
        int(params[name]) for name in ("node-manager-port", "metrics-export-port")
    )
    assert _ports(ray_head)["metrics"] == int(head["rayStartParams"]["metrics-export-port"])
    assert not {*ports.values()} & {*_ports(daemon).values()}


def _ports(container: dict[str, Any]) -> dict[str, int]:
    return {one["name"]: one["containerPort"] for one in container["ports"]}


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_compose_file_fits_the_schema_of_compose(tmp_path: Path) -> None:
    command = BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"
    done = _runs(*command, DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    faulty = _fault_in(DEPLOY / "compose.yaml", "read_only: true", "read_only: [1]", tmp_path)
    assert _runs(*command, faulty).returncode != 0


def test_what_the_compose_file_mounts_is_there() -> None:
    """Files beside it, by their names."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounts = [mount for one in services.values() for mount in one.get("volumes", [])]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert files
    for file in files:
        assert (DEPLOY / file).exists(), file


@pytest.mark.skipif(not (BIN / "hadolint").exists(), reason="no hadolint for this processor")
def test_the_dockerfile_passes_its_linter(tmp_path: Path) -> None:
    done = _runs(BIN / "hadolint", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout
    faulty = _fault_in(DEPLOY / "Dockerfile", "WORKDIR /build", "WORKDIR build", tmp_path)
    assert _runs(BIN / "hadolint", faulty).returncode != 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_passes_systemds_own_check(tmp_path: Path) -> None:
    """With a program that is there in the place of ours."""
    text = (DEPLOY / "meterd.service").read_text()
    unit = tmp_path / "meterd.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    done = _runs("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    assert "kill mode" in _runs("systemd-analyze", "verify", unit).stderr


def test_the_image_gets_nothing_of_a_checkout_but_what_it_is_made_of() -> None:
    """Data and secrets lie in a checkout, too: everything is left out that is not named."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert rules[0] == "*"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in named)
    assert {"actors", "clients/python", "daemon", "deploy", "persistence"} <= named
    assert not {name for name in named if name.startswith(".")}
