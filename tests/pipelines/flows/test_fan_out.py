"""Training on several machines: what is refused, and two workers in two clones."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving
import toy

from convdepth.core.errors import MachineError, ParameterError
from pipelines.flows.fan_out import _require_pushed, _require_remote, _submit
from project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with an upstream and a DVC remote, all of it committed and pushed."""
    project = toy.create(tmp_path / "toy", tmp_path)
    serving.add_flows(project)
    project.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    project.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    ignored = ("/log.txt", "/*.model", "/*.txt", "/figures", "__pycache__", "/*-train@*")
    (project.folder / ".gitignore").write_text("".join(f"{line}\n" for line in ignored))
    project.commit("Remotes")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    return project


def test_without_a_dvc_remote_nothing_can_be_shared(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="dvc remote add --default"):
        _require_remote(toy.create(tmp_path / "toy", tmp_path).folder)


def test_workers_run_commits_that_they_can_fetch(project: Project) -> None:
    head = project.run("git", "rev-parse", "HEAD").strip()
    assert _require_pushed(project.folder) == head
    (project.folder / "accuracy").write_text("0.6")
    with pytest.raises(ParameterError, match=r"in no commit: accuracy\..*`git commit`"):
        _require_pushed(project.folder)
    project.commit("Not pushed")
    with pytest.raises(MachineError, match="`git push` puts it there"):
        _require_pushed(project.folder)


@pytest.mark.usefixtures("harness")
def test_a_server_without_the_deployment_is_told() -> None:
    with pytest.raises(MachineError, match="`make deploy` puts it there"):
        _submit("one", "HEAD", require_gpu=False)


def machine(name: str, tmp_path: Path) -> Project:
    """A clone with a home of its own."""
    folder, home = tmp_path / name / "clone", tmp_path / name / "home"
    home.mkdir(parents=True)
    project = Project(folder, home)
    project.environment |= {
        "MACHINE": name,
        "TOY": str(tmp_path / "toy"),
        "PREFECT_HOME": str(home / "prefect"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    source = str(tmp_path / "origin.git")
    Project(tmp_path, home).run("git", "clone", "--quiet", source, str(folder))
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with nothing on it but what the tests deploy, one after the other."""
    with serving.server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.mark.worker
def test_each_network_is_trained_once_and_none_where_they_are_collected(
    project: Project, tmp_path: Path, server: str
) -> None:
    toy.mark(project, "meet")  # each training waits for the other: one worker alone would fail
    (project.folder / ".git" / "info" / "exclude").write_text("/meet\n")
    machines = [machine(name, tmp_path) for name in ("first", "second")]
    serving.deploy(project, server)
    with serving.worker(machines[0], server), serving.worker(machines[1], server):
        project.environment |= {"PREFECT_API_URL": server, "MACHINE": "collector"}
        output = project.run(sys.executable, "-m", "pipelines", "spread")
    assert "train@one | Stage 'train@one' is cached" in output
    log = toy.log(project)
    trained = sorted(line.split(" on ")[0] for line in log if line.startswith("end train"))
    assert trained == ["end train@one", "end train@two"]
    assert {line.split(" on ")[1] for line in log if "train" in line} == {"first", "second"}
    alone = machine("alone", tmp_path)
    alone.repro()
    assert toy.locked(project) == toy.locked(alone)
    places = tmp_path / "first" / "clone" / ".dvc" / "tmp" / "places"
    assert not [path for path in places.iterdir() if path.is_dir()]


@pytest.mark.worker
def test_a_failed_training_is_named_and_the_others_are_kept(
    project: Project, tmp_path: Path, server: str
) -> None:
    toy.mark(project, "fail-train@one")
    only = machine("only", tmp_path)
    serving.deploy(project, server)
    with serving.worker(only, server):
        project.environment["PREFECT_API_URL"] = server
        output = project.run(sys.executable, "-m", "pipelines", "spread", code=1)
        assert "one: Failed: train@one: failed with exit code 6" in output
        (project.folder / "fail-train@one").unlink()
        project.run(sys.executable, "-m", "pipelines", "spread")
    log = toy.log(project)
    assert [line for line in log if "end train" in line] == [
        "end train@two on only",
        "end train@one on only",
    ]
