"""The job templates of pools that start a container for each run."""

import json
from pathlib import Path
from typing import Any

import prefect
import pytest
from docker.types import DeviceRequest
from prefect.utilities.templating import apply_values

from convdepth.core.errors import ParameterError
from pipelines.deploy.deployments import FOLDER, TYPES, adapt, base_job_template

VIEW = "server/api/collections_data/views/aggregate-worker-metadata.json"


def template(pool_type: str) -> dict[str, Any]:
    """What a server without internet gives for a type, with our changes."""
    view = json.loads((Path(prefect.__file__).parent / VIEW).read_text(encoding="utf-8"))
    (default,) = (types[pool_type] for types in view.values() if pool_type in types)
    before = json.dumps(default)
    adapted = adapt(default["default_base_job_configuration"], pool_type)
    assert json.dumps(default) == before
    return adapted


def job(pool_type: str, **values: Any) -> Any:
    """The job that a worker makes of a template and of the variables of a deployment."""
    adapted = template(pool_type)
    variables = adapted["variables"]["properties"]
    defaults = {name: each["default"] for name, each in variables.items() if "default" in each}
    assert defaults["image"].startswith("convdepth:")
    return apply_values(adapted["job_configuration"], defaults | values)


def test_docker_gives_a_run_all_gpus_and_the_volume() -> None:
    made = job("docker")
    (request,) = made["container_create_kwargs"]["device_requests"]
    assert DeviceRequest(**request)["Capabilities"] == [["gpu"]]
    assert made["volumes"][0].endswith(":/data")
    without = job("docker", container_create_kwargs={"init": True})
    assert without["container_create_kwargs"] == {"init": True}


def test_kubernetes_gives_a_run_a_gpu_a_claim_and_no_root() -> None:
    made = job("kubernetes", gpus=2, volume_claim="mine", memory_limit="8Gi", command=["true"])
    pod = made["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": 2}
    assert container["args"] == ["true"]  # of Prefect's template
    (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/data")
    assert pod["securityContext"]["runAsNonRoot"]


def test_a_pool_of_processes_is_prefects_own_and_other_types_are_refused() -> None:
    assert {f"{name}.json" for name in TYPES[1:]} == {path.name for path in FOLDER.glob("*.json")}
    assert "working_dir" in base_job_template("process")["variables"]["properties"]
    with pytest.raises(ParameterError, match="--pool-type: ecs"):
        base_job_template("ecs")
