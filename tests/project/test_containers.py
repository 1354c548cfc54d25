"""The image, the compose file and the systemd units: pins, users, secrets, and a real start."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from conftest import PROJECT
from project import Project

ENTRY = PROJECT / "pipelines" / "deploy" / "container.sh"


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile, comments and line breaks removed."""
    text = re.sub(r"(?m)^\s*#.*\n", "", read("Dockerfile")).replace("\\\n", " ")
    found: dict[str, list[str]] = {"": []}
    for line in filter(None, text.splitlines()):
        if stage := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[stage[2]] = list(found.get(stage[1], []))
        found[list(found)[-1]].append(line)
    return found


def test_the_image_holds_hashed_packages_and_the_commit_and_runs_as_no_root() -> None:
    found = stages()
    assert re.search(r"ARG BASE=\S+:\d+\.\d+\.\d+\S*@sha256:[0-9a-f]{64}$", found[""][0])
    ignored, *kept = [line for line in read(".dockerignore").splitlines() if line[0] != "#"]
    locks = {"cpu": "requirements.lock", "cuda": "requirements-gpu.lock"}
    assert (ignored, set(kept)) == ("*", {f"!{name}" for name in (".git", *locks.values())})
    for target, lock in locks.items():
        lines = found[target]
        assert lines[-1] == "USER 1000:1000"
        (packages,) = [line for line in lines if "--require-hashes" in line]
        assert f"--requirement /tmp/{lock}" in packages
        assert f"/opt/venv/installed-{lock}" in packages  # as `make environment` leaves it
        assert packages.startswith("RUN --mount=type=secret,")
        copied = [line.split()[1] for line in lines if re.match(r"COPY (?!--from)", line)]
        assert copied == [lock]
        assert any("image.revision=${COMMIT}" in line for line in lines)
        assert f'ENTRYPOINT ["/opt/convdepth/{ENTRY.relative_to(PROJECT)}"]' in lines


def test_compose_asks_for_passwords_a_gpu_and_leases_that_survive_a_restart() -> None:
    compose: dict[str, Any] = YAML(typ="safe").load(read("compose.yaml"))
    services = compose["services"]
    for service in services.values():
        for name, condition in (service.get("depends_on") or {}).items():
            healthy = condition["condition"] == "service_healthy"
            assert healthy == ("healthcheck" in services[name])
        own = re.fullmatch(r"convdepth:(cpu|cuda)", service["image"])
        assert own or re.search(r":\d+\.\d+\S*@sha256:[0-9a-f]{64}$", service["image"])
        assert not own or service["build"]["target"] == own[1] in stages()
        volumes = {each.partition(":")[0] for each in service.get("volumes", [])}
        assert volumes <= set(compose["volumes"])
        assert all(each.startswith("127.0.0.1:") for each in service.get("ports", []))
    (gpu,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["capabilities"] == ["gpu"]
    assert services["worker"]["profiles"] != services["worker-cpu"]["profiles"]
    storage = services["server"]["environment"]["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"]
    assert storage.endswith(".filesystem")
    variables = dict(re.findall(r"\$\{(\w+)(:[?-])?", read("compose.yaml")))
    named = set(re.findall(r"(?m)^#?(\w+)=", read("example.env")))
    assert named | {"COMMIT"} == set(variables)
    required = {name for name in variables if f"${{{name}:?" in read("compose.yaml")}
    assert required == set(re.findall(r"(?m)^(\w+)=$", read("example.env")))
    subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=PROJECT, check=True)


def test_the_entry_point_clones_updates_and_survives_a_lost_upstream(tmp_path: Path) -> None:
    upstream, clone = Project(tmp_path / "upstream", tmp_path), tmp_path / "data" / "clone"
    upstream.folder.mkdir()
    upstream.run("git", "init", "--quiet")
    upstream.environment["CONVDEPTH_HOME"] = str(clone)
    upstream.environment["CONVDEPTH_REPOSITORY"] = str(upstream.folder)
    for commit in ("one", "two"):
        (upstream.folder / "file").write_text(f"{commit}\n")
        upstream.commit(commit)
        shown = upstream.run(str(ENTRY), "sh", "-c", 'pwd; cat file; echo "$PYTHONPATH"')
        assert shown.splitlines() == [str(clone), commit, f"{clone}/src:{clone}"]
    (upstream.folder / ".git").rename(tmp_path / "lost")
    *warnings, last = upstream.run(str(ENTRY), "cat", "file").splitlines()
    assert last == "two"
    assert str(clone) in warnings[-1]
    upstream.environment["CONVDEPTH_HOME"] = str(tmp_path / "new" / "clone")
    upstream.run(str(ENTRY), "true", code=128)


def test_make_service_writes_valid_units_for_any_folder_and_again_the_same(tmp_path: Path) -> None:
    project = Project(tmp_path / "a b%c&d", tmp_path)
    (project.folder / ".venv" / "bin").mkdir(parents=True)
    (project.folder / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    shutil.copytree(PROJECT / "pipelines/deploy", project.folder / "pipelines/deploy")
    shutil.copy(PROJECT / "Makefile", project.folder)
    units = tmp_path / "config" / "systemd" / "user"
    project.environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    project.environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    first, second = (project.run("make", "--silent", "service", "INSTALLED=") for _ in range(2))
    assert first == second
    files = sorted(units.iterdir())
    names = {path.name for path in (PROJECT / "pipelines" / "deploy").glob("*.service")}
    assert {path.name for path in files} == names
    for path in files:
        assert path.stem in first
        text = path.read_text()
        assert f"WorkingDirectory={str(project.folder).replace('%', '%%')}\n" in text
        assert {"Restart=on-failure", "EnvironmentFile=-%E/convdepth.env"} < set(text.splitlines())
    if shutil.which("systemd-analyze"):  # a missing program, an unknown key
        project.run("systemd-analyze", "--user", "verify", *map(str, files))
