"""What a worker starts for a run (``command`` in `prefect.yaml`): Prefect's engine in a clone."""

import os
import socket
import sys
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Failed

from convdepth.core.errors import ConvdepthError, MachineError
from pipelines.checkout.enter import enter_commit

HOME = "CONVDEPTH_HOME"  # environment variable of a worker: root of its clone
RUN = "PREFECT__FLOW_RUN_ID"  # variable of Prefect: the run that this process is started for


def main() -> None:
    """Become the engine in a clone of the run's commit; close the run if that fails."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(os.environ[RUN]))
        try:
            if HOME not in os.environ:
                raise MachineError(
                    f"{HOME}: not set, expected the root of the worker's clone. Start the worker "
                    "by `make worker`, not by Prefect's own command."
                )
            os.chdir(os.environ[HOME])
            if run.deployment_id is None:
                raise MachineError(f"run {run.name}: expected a run of a deployment")
            entrypoint = client.read_deployment(run.deployment_id).entrypoint
            command = [sys.executable, "-m", "prefect.engine"]
            variables = {"PREFECT__FLOW_ENTRYPOINT": str(entrypoint)}
            enter_commit(command, run.parameters.get("commit"), variables)
        except ConvdepthError as error:
            print(f"error: {error}", file=sys.stderr)
            client.update_flow_run(run.id, tags=[*run.tags, f"machine: {socket.gethostname()}"])
            client.set_flow_run_state(run.id, Failed(message=str(error)), force=True)


if __name__ == "__main__":
    main()
