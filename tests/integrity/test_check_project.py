"""What `convdepth doctor` says of the project's files and of what runs have left behind."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from holding import holding
from waiting import wait_until

from convdepth.core.errors import DataError, ParameterError
from convdepth.integrity import check_project as checks
from convdepth.integrity.findings import Finding, Severity
from convdepth.integrity.interruptions import Interrupted
from convdepth.training.checkpoints import Unfinished
from project import Project

TRAIN = (
    "convdepth train ${key} --model kept/${key}.keras --normalized '%s' --checkpoints left/${key}"
)


@pytest.fixture
def folder(tiny_params: Path, normalized: Path) -> Path:
    """A project with the tiny network, trained as its lock says, where nothing is wrong."""
    project, command = tiny_params.parent, TRAIN % normalized
    graph = {"train": {"foreach": "${architectures}", "do": {"cmd": command}}}
    (project / "dvc.yaml").write_text(json.dumps({"stages": graph}))
    entry = {"cmd": command.replace("${key}", "tiny"), "outs": []}
    (project / "dvc.lock").write_text(json.dumps({"stages": {"train@tiny": entry}}))
    (project / ".dvc" / "tmp").mkdir(parents=True)
    return project


def only(findings: list[Finding], severity: Severity) -> str:
    """Give the text and the remedy of the only finding, which counts so."""
    (finding,) = findings
    assert finding.severity is severity, finding
    return f"{finding.text}. {finding.remedy}"


def test_params(folder: Path) -> None:
    assert "networks: tiny" in only(checks.check_params(folder), Severity.OK)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 0"))
    with pytest.raises(ParameterError, match=r"train\.epochs"):
        checks.check_params(folder)


def test_lock(folder: Path) -> None:
    assert "of each network" in only(checks.check_lock(folder), Severity.OK)
    params = folder / "params.yaml"
    tiny = params.read_text().rpartition("architectures:\n")[2]
    params.write_text(params.read_text() + tiny.replace("  tiny:", "  other:"))
    assert "no training of other. Run `make repro`" in only(
        checks.check_lock(folder), Severity.FAULT
    )
    (folder / "dvc.lock").unlink()
    with pytest.raises(DataError, match=r"dvc\.lock: cannot be read.*make repro"):
        checks.check_lock(folder)


def test_cache(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project.folder
    assert "is not there yet" in only(checks.check_cache(root), Severity.NOTE)
    (root / ".dvc" / "cache").mkdir()
    assert "GB free" in only(checks.check_cache(root), Severity.OK)
    full = shutil.disk_usage(root)._replace(free=300_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: full)
        findings = checks.check_cache(root)
        assert {finding.severity for finding in findings} == {Severity.FAULT}
        assert "0.3 GB are free, a whole run may need 2 GB" in findings[0].text
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    text = only(checks.check_cache(root), Severity.FAULT)
    assert ".dvc/cache cannot be written, so no result can be kept. Change its permissions" in text


def write_rwlock(folder: Path, pid: int, command: str) -> None:
    info = {"pid": pid, "cmd": command}
    content = {"write": {"/a/model": info}, "read": {"/a/raw": [info]}}
    (folder / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(content))


def test_rwlock(folder: Path) -> None:
    assert "is empty" in only(checks.check_rwlock(folder), Severity.OK)
    (folder / ".dvc" / "tmp" / "rwlock").write_text("{}")
    assert "DVC lists 0 busy files" in only(checks.check_rwlock(folder), Severity.OK)


@pytest.mark.parametrize("content", ["", '{"write": {"/a', "[]", '{"write": {"/a": {"pid": 1}}}'])
def test_a_torn_rwlock(folder: Path, content: str) -> None:
    (folder / ".dvc" / "tmp" / "rwlock").write_text(content)
    text = only(checks.check_rwlock(folder), Severity.FAULT)
    assert "is torn" in text
    assert "`rm .dvc/tmp/rwlock`" in text


def test_an_rwlock_of_a_process_that_runs_or_is_gone_or_another(folder: Path) -> None:
    wait = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", wait, "repro", "train@a b"]) as process:
        write_rwlock(folder, process.pid, "/bin/dvc repro train@a b")
        assert "2 busy files" in only(checks.check_rwlock(folder), Severity.OK)
        write_rwlock(folder, process.pid, "/bin/dvc push")
        text = only(checks.check_rwlock(folder), Severity.FAULT)
        assert f"DVC waits for the process {process.pid}, which was `/bin/dvc push`" in text
        process.kill()
    text = only(checks.check_rwlock(folder), Severity.NOTE)
    assert f"the process {process.pid} (/bin/dvc push), which is gone" in text


def test_leftovers(folder: Path) -> None:
    (folder / ".dvc" / "tmp" / ".x.1.tmp").touch()  # DVC's own
    assert "no half-written" in only(checks.check_leftovers(folder), Severity.OK)
    (folder / "kept it").mkdir()
    (folder / "kept it" / ".tiny.1a2b3c4d.tmp.keras").touch()
    text = only(checks.check_leftovers(folder), Severity.FAULT)
    assert "1 half-written file of stages that were killed: kept it/.tiny.1a2b3c4d.tmp" in text
    remedy = text.partition("Run `")[2].partition("`")[0]
    subprocess.run(["sh", "-c", remedy], cwd=folder, check=True)
    assert "no half-written" in only(checks.check_leftovers(folder), Severity.OK)


def test_a_stage_that_is_writing(folder: Path) -> None:
    assert "no stage is writing" in only(checks.check_writers(folder), Severity.OK)
    (folder / ".tiny.1a2b3c4d.tmp.keras").touch()
    with holding("train@tiny", folder / "kept" / "tiny.keras"):
        text = only(checks.check_writers(folder), Severity.NOTE)
        assert "kept/tiny.keras is being written by train@tiny (process" in text
        assert "a stage is writing" in only(checks.check_leftovers(folder), Severity.OK)
    assert "no stage is writing" in only(checks.check_writers(folder), Severity.OK)


def test_no_checkpoints(folder: Path) -> None:
    only(checks.check_checkpoints(folder), Severity.OK)


def write_checkpoint(folder: Path) -> Path:
    """Leave a checkpoint that only says what it is of."""
    path = folder / "left" / "tiny" / "0123" / "epoch-0002.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"epoch": 2, "fingerprint": {"code": "0"}}))
    return path


def test_an_interrupted_training_that_is_not_taken_up_can_be_deleted(folder: Path) -> None:
    path = write_checkpoint(folder)
    (finding,) = checks.check_checkpoints(folder)
    assert finding.severity is Severity.NOTE
    assert "code" in finding.text
    remedy = finding.remedy.partition("`")[2].partition("`")[0]
    subprocess.run(["sh", "-c", remedy], cwd=folder, check=True)
    assert not path.exists()
    only(checks.check_checkpoints(folder), Severity.OK)


def test_with_wrong_parameters_no_training_is_looked_for(folder: Path) -> None:
    write_checkpoint(folder)
    (folder / "params.yaml").write_text("train: 3")
    only(checks.check_checkpoints(folder), Severity.OK)


@pytest.mark.parametrize(
    ("module", "differing", "expected"),
    [
        ("train", (), "tiny: interrupted 3 hours ago after epoch 4 (2.0 MB); its next run goes on"),
        ("train", ("code",), "not taken up, made with other code"),
        ("collapse", (), "goes on from there, unless its parameters have changed"),
        ("tune", (), "takes the trials that had ended, unless its parameters have changed"),
    ],
)
def test_what_is_said_of_an_interrupted_training(
    folder: Path, module: str, differing: tuple[str, ...], expected: str
) -> None:
    path = folder / "left" / "0123" / "epoch-0004.json"
    kept = [Unfinished(path, 4, 2_000_000, time.time() - 3 * 3600 - 1, {})]
    found = Interrupted("tiny", folder / "left", kept, differing, module, is_all=True)
    assert expected in checks._judge_interrupted(found, folder).text


SLEEP = "import sys, time\nprint('at work', flush=True)\ntime.sleep(600)\n"
RUN_BELOW = "import subprocess, sys\nsubprocess.run([sys.executable, *sys.argv[1:]])\n"


class Training(NamedTuple):
    """A made-up training: the process, and the one that has started it."""

    process: psutil.Process
    parent: subprocess.Popen[str]


@pytest.fixture(params=["train", "train-tuned", "collapse"])
def training(folder: Path, request: pytest.FixtureRequest) -> Iterator[Training]:
    """A stage that runs below DVC."""
    (folder / "convdepth").write_text(SLEEP)
    (folder / "dvc").write_text(
        RUN_BELOW.replace(
            "sys.argv[1:]]", "sys.argv[1:]], env=dict(os.environ, DVC_STAGE='x')"
        ).replace("import subprocess", "import os, subprocess")
    )
    with subprocess.Popen(
        [sys.executable, "dvc", "convdepth", request.param, "tiny"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "at work\n"
        (process,) = psutil.Process(parent.pid).children()
        yield Training(process, parent)
        for each in (process, parent):
            if each.pid and psutil.pid_exists(each.pid):
                each.kill()


def test_a_training_without_its_dvc(folder: Path, training: Training) -> None:
    assert "no training without" in only(checks.check_orphans(folder), Severity.OK)
    training.parent.kill()
    training.parent.wait()
    wait_until(lambda: training.process.ppid() != training.parent.pid)
    text = only(checks.check_orphans(folder), Severity.FAULT)
    pid = training.process.pid
    assert text == f"the process {pid} trains tiny, and its DVC is gone. Run `kill {pid}`."
    (folder / "other").mkdir()
    assert "no training without" in only(checks.check_orphans(folder / "other"), Severity.OK)
    subprocess.run(["kill", str(pid)], check=True)
    wait_until(lambda: not psutil.pid_exists(pid) or training.process.status() == "zombie")
    assert "no training without" in only(checks.check_orphans(folder), Severity.OK)


def write_model(folder: Path, **changes: Any) -> None:
    (folder / "kept").mkdir(exist_ok=True)
    model = folder / "kept" / "tiny.keras"
    model.write_bytes(b"weights")
    record = {
        "model_sha256": sha256(b"weights").hexdigest(),
        "tensorflow": version("tensorflow"),
        "keras": version("keras"),
        "device": "a CPU",
        "threads": 1,
    }
    (folder / "kept" / "tiny.numeric_class.json").write_text(json.dumps(record | changes))


def test_numeric_class(folder: Path) -> None:
    assert "no trained network" in only(checks.check_numeric_class(folder), Severity.OK)
    write_model(folder)
    assert "tiny were trained alike" in only(checks.check_numeric_class(folder), Severity.OK)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model_sha256": "0"}, "tiny.numeric_class.json is of another model than the tiny.keras"),
        ({"tensorflow": "2.0"}, "tiny was made with other software: tensorflow 2.0, now 2."),
    ],
)
def test_a_model_of_another_numeric_class(folder: Path, changes: dict[str, Any], text: str) -> None:
    write_model(folder, **changes)
    assert text in only(checks.check_numeric_class(folder), Severity.NOTE)


def test_a_model_without_a_record_or_with_a_torn_one(folder: Path) -> None:
    write_model(folder)
    record = folder / "kept" / "tiny.numeric_class.json"
    record.write_text('{"model')
    assert "cannot be read: JSONDecodeError" in only(
        checks.check_numeric_class(folder), Severity.FAULT
    )
    record.unlink()
    assert "tiny has no record" in only(checks.check_numeric_class(folder), Severity.NOTE)


def test_models_of_two_numeric_classes(folder: Path) -> None:
    write_model(folder)
    lock = json.loads((folder / "dvc.lock").read_text())
    command = lock["stages"]["train@tiny"]["cmd"].replace("tiny", "big")
    lock["stages"]["train@big"] = {"cmd": command, "outs": []}
    (folder / "dvc.lock").write_text(json.dumps(lock))
    for suffix in (".keras", ".numeric_class.json"):
        shutil.copy(folder / "kept" / f"tiny{suffix}", folder / "kept" / f"big{suffix}")
    assert "tiny, big were trained alike" in only(checks.check_numeric_class(folder), Severity.OK)
    write_model(folder, device="a GPU")
    text = only(checks.check_numeric_class(folder), Severity.NOTE)
    assert "not all trained alike: tiny on a GPU, TensorFlow" in text


def test_the_name_of_a_record_is_the_one_that_is_written() -> None:
    from convdepth.models import numeric_class

    assert checks.RECORD_SUFFIX == numeric_class.SUFFIX


def test_a_half_written_file_is_called_so(tmp_path: Path) -> None:
    from fnmatch import fnmatch

    from convdepth.core.files import atomic_path

    with atomic_path(tmp_path / "tiny.keras") as temporary:
        assert fnmatch(temporary.name, checks.LEFTOVER)
