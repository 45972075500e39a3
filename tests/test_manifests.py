"""The manifests of configs/cluster: no typo in what we use, and in agreement with the image and our own settings."""

import copy
import json
import os
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ripu_cli.main import app
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
CLUSTER = ROOT / "configs/cluster"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
Tree = dict[str, Any]


def _strict(properties: Tree, *optional: str) -> Tree:
    required = sorted(properties.keys() - set(optional))
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list(items: Tree) -> Tree:
    return {"type": "array", "items": items, "minItems": 1}


NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
QUANTITY = {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi)?$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
PATH = {"type": "string", "pattern": "^/"}
AMOUNTS = _strict({"cpu": QUANTITY, "memory": QUANTITY, "nvidia.com/gpu": QUANTITY}, "cpu", "nvidia.com/gpu")
SECRET = _strict({"secretKeyRef": _strict({"name": NAME, "key": {"type": "string"}, "optional": {"type": "boolean"}})})
CONTAINER = _strict(
    {
        "name": NAME,
        "image": {"type": "string", "pattern": "^ripu-ray:[0-9.]+-(cpu|cuda)$"},
        "ports": _list(_strict({"name": NAME, "containerPort": PORT})),
        "env": _list(_strict({"name": {"type": "string"}, "valueFrom": SECRET})),
        "resources": _strict({"requests": AMOUNTS, "limits": AMOUNTS}),
        "volumeMounts": _list(_strict({"name": NAME, "mountPath": PATH})),
    },
    "ports",
)
VOLUME = _strict(
    {
        "name": NAME,
        "persistentVolumeClaim": _strict({"claimName": NAME}),
        "emptyDir": _strict({"medium": {"const": "Memory"}, "sizeLimit": QUANTITY}),
    },
    "persistentVolumeClaim",
    "emptyDir",
)
USER = {"const": 1000}
SECURITY = _strict({"runAsNonRoot": {"const": True}, "runAsUser": USER, "fsGroup": USER})
POD = _strict({"securityContext": SECURITY, "containers": _list(CONTAINER), "volumes": _list(VOLUME)})
TEMPLATE = _strict({"spec": POD})
START = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}
WORKERS = {"groupName": NAME, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT}
CLUSTER_SPEC = _strict(
    {
        "rayVersion": {"const": ray.__version__},
        "authOptions": _strict({"mode": {"const": "token"}, "secretName": NAME}),
        "enableInTreeAutoscaling": {"const": True},
        "autoscalerOptions": _strict({"idleTimeoutSeconds": COUNT}),
        "headGroupSpec": _strict({"rayStartParams": START, "template": TEMPLATE}),
        "workerGroupSpecs": _list(_strict({**WORKERS, "rayStartParams": START, "template": TEMPLATE})),
    }
)
JOB_SPEC = _strict(
    {
        "entrypoint": {"type": "string"},
        "shutdownAfterJobFinishes": {"const": True},
        "ttlSecondsAfterFinished": COUNT,
        "backoffLimit": COUNT,
        "rayClusterSpec": CLUSTER_SPEC,
    }
)
MODES = _list({"const": "ReadWriteMany"})
CLAIM_SPEC = _strict({"accessModes": MODES, "resources": _strict({"requests": _strict({"storage": QUANTITY})})})


def _object(kind: str, version: str, spec: Tree) -> Tree:
    metadata = _strict({"name": NAME})
    return _strict({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


SCHEMAS = {
    "RayCluster": _object("RayCluster", "ray.io/v1", CLUSTER_SPEC),
    "RayJob": _object("RayJob", "ray.io/v1", JOB_SPEC),
    "PersistentVolumeClaim": _object("PersistentVolumeClaim", "v1", CLAIM_SPEC),
}


def _objects(name: str) -> dict[str, Tree]:
    """Kind -> object of one manifest."""
    return {tree["kind"]: tree for tree in yaml.safe_load_all((CLUSTER / name).read_text())}


OBJECTS = _objects("raycluster.yaml") | _objects("rayjob.yaml")
SPECS: dict[str, Tree] = {
    "RayCluster": OBJECTS["RayCluster"]["spec"],
    "RayJob": OBJECTS["RayJob"]["spec"]["rayClusterSpec"],
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_manifest_has_no_typo(kind: str) -> None:
    jsonschema.validate(OBJECTS[kind], SCHEMAS[kind])
    harmed = copy.deepcopy(OBJECTS[kind])
    harmed["spec"]["enableInTreeAutoscalling"] = True
    with pytest.raises(jsonschema.ValidationError, match="enableInTreeAutoscalling"):
        jsonschema.validate(harmed, SCHEMAS[kind])


def _made_strict(schema: Any) -> Any:
    """Kubernetes drops keys that it does not know without a message, so unknown keys are errors here."""
    if isinstance(schema, list):
        return [_made_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _made_strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def _check_by_crd(crd: Tree, tree: Tree) -> None:
    (version,) = (one for one in crd["spec"]["versions"] if one["name"] == "v1")
    jsonschema.validate(tree, _made_strict(version["schema"]["openAPIV3Schema"]))


@pytest.mark.skipif("RIPU_KUBERAY_CRD" not in os.environ, reason="RIPU_KUBERAY_CRD names no file of KubeRay's")
def test_kuberay_s_own_definition_accepts_the_manifest() -> None:
    for crd in yaml.safe_load_all(Path(os.environ["RIPU_KUBERAY_CRD"]).read_text()):
        _check_by_crd(crd, OBJECTS[crd["spec"]["names"]["kind"]])


def test_a_definition_is_read_strictly() -> None:
    spec = {"type": "object", "properties": {"rayVersion": {"type": "string"}}}
    properties = {"spec": spec, "kind": {"type": "string"}}
    crd = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": properties}}}]}}
    _check_by_crd(crd, {"kind": "RayCluster", "spec": {"rayVersion": "2"}})
    with pytest.raises(jsonschema.ValidationError, match="rayVerson"):
        _check_by_crd(crd, {"kind": "RayCluster", "spec": {"rayVerson": "2"}})


@pytest.mark.parametrize("kind", SPECS)
def test_a_cluster_agrees_with_the_image_and_with_itself(kind: str) -> None:
    spec = SPECS[kind]
    assert spec == SPECS["RayCluster"]
    claim = OBJECTS["PersistentVolumeClaim"]["metadata"]["name"]
    version = yaml.safe_load((ROOT / "pyproject.toml").read_text().partition("\nversion = ")[2].partition("\n")[0])
    pods = [spec["headGroupSpec"]["template"]["spec"], *(one["template"]["spec"] for one in spec["workerGroupSpecs"])]
    for pod in pods:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        (container,) = pod["containers"]
        assert container["image"] == f"ripu-ray:{version}-cuda"
        mounts = {mount["mountPath"]: volumes.pop(mount["name"]) for mount in container["volumeMounts"]}
        assert not volumes
        # Where Ray starts, and with it every relative path, is the image's last working directory.
        assert DOCKERFILE.rpartition("WORKDIR ")[2].split()[0] in mounts
        assert mounts["/workspace"]["persistentVolumeClaim"]["claimName"] == claim
        assert f"--uid {pod['securityContext']['runAsUser']} ripu" in DOCKERFILE
        for amount in ("memory", "nvidia.com/gpu"):
            resources = container["resources"]
            assert resources["limits"].get(amount) == resources["requests"].get(amount)
    (gpu,) = spec["workerGroupSpecs"]
    assert gpu["replicas"] == gpu["minReplicas"] == 0 < gpu["maxReplicas"]
    assert gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    secret = spec["authOptions"]["secretName"]
    assert (
        f"kubectl create secret generic {secret} --from-literal=auth_token="
        in (CLUSTER / "raycluster.yaml").read_text()
    )


def test_the_job_s_command_is_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(OBJECTS["RayJob"]["spec"]["entrypoint"])
    assert program == "ripu"
    home = "/opt/ripu-ray/"
    assert f"WORKDIR {home.rstrip('/')}\n" in DOCKERFILE
    here = [
        str(ROOT / argument.removeprefix(home)) if argument.startswith(home) else argument for argument in arguments
    ]
    done = CliRunner().invoke(app, [*here, "--dry-run", "--show-config"])
    assert done.exit_code == 0, done.output
    config = yaml.safe_load(done.stdout.partition("\n\n")[0])
    assert config["cluster"]["address"] == "auto"
    assert config["cluster"]["gpu"] is True
    assert "into runs/demo" in done.stdout


def test_ray_up_accepts_its_configuration() -> None:
    tree = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
    jsonschema.validate(tree, json.loads(files("ray.autoscaler").joinpath("ray-schema.json").read_text()))
    assert "--entrypoint=" in tree["docker"]["run_options"]
    assert "--volume=/efs:/workspace" in tree["docker"]["run_options"]
    assert tree["available_node_types"]["gpu"]["min_workers"] == 0
    assert tree["available_node_types"][tree["head_node_type"]]["resources"] == {"CPU": 0}
    for commands in (tree["head_start_ray_commands"], tree["worker_start_ray_commands"]):
        assert commands[-1].startswith("cd /workspace && ray start ")
    assert "--dashboard-host=127.0.0.1" in tree["head_start_ray_commands"][-1]
    assert list(tree["file_mounts"]) == ["/home/ripu/.ray/auth_token"]
