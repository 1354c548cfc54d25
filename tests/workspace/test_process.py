"""How a command ends, and what it does as a stage of a real DVC."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

import convdepth
from conftest import PROJECT
from project import HEED_SIGINT, Project

RUN = "from convdepth.workspace.process import run_app\n"
STAGE = (
    RUN
    + """
import pathlib, sys, time

def work():
    print("is at work", flush=True)
    time.sleep(float(sys.argv[1]))
    pathlib.Path("out.txt").write_text("published")

run_app(work)
"""
)
"""Stands for a stage: it works for the seconds that it is given, and then publishes."""


def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HEED_SIGINT + RUN + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("run_app(lambda: 1)", 0, ""),
        ("run_app(lambda: sys.exit(3))", 3, ""),
        ("def f(): raise DataError('x: damaged')", 3, "error: x: damaged\n"),
        ("def f(): raise MachineError('x: full')", 4, "error: x: full\n"),
        ("def f(): raise KeyboardInterrupt", 130, ""),
        ("def f(): os.kill(os.getpid(), 15); time.sleep(60)", 143, ""),
        ("def f(): os.kill(os.getpid(), 2); time.sleep(60)", 130, ""),
    ],
)
def test_the_exit_code_tells_how_it_ended(code: str, exit_code: int, message: str) -> None:
    imports = "import os, sys, time\nfrom convdepth.core.errors import *\n"
    call = "" if "run_app" in code else "\nrun_app(f)"
    finished = run(imports + code + call)
    assert (finished.returncode, finished.stderr) == (exit_code, message)


def test_a_mistake_of_ours_has_a_traceback() -> None:
    finished = run("run_app(lambda: 1 / 0)")
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr


@pytest.mark.parametrize(
    ("before", "handler", "exit_code"),
    [
        ("", "raise RuntimeError('as TensorFlow does it') from error", 143),
        ("for number in (2, 15): signal.signal(number, signal.SIG_IGN)", "raise", 0),
    ],
    ids=["a signal that became another error", "signals that a shell has set to be ignored"],
)
def test_signals_that_do_not_arrive_as_such(before: str, handler: str, exit_code: int) -> None:
    code = f"""
import os, signal, time
def work():
    try:
        os.kill(os.getpid(), 15)
        time.sleep(0.2)
    except SystemExit as error:
        {handler}
{before}
run_app(work)"""
    finished = run(code)
    assert (finished.returncode, finished.stderr) == (exit_code, "")


Repro = Callable[..., tuple[psutil.Process, psutil.Process]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A DVC project without any stage."""
    (tmp_path / "toy").mkdir()
    project = Project(tmp_path / "toy", tmp_path)
    (project.folder / "stage.py").write_text(STAGE)
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    return project


@pytest.fixture
def repro(project: Project) -> Iterator[Repro]:
    """Starts `dvc repro` with one stage; gives DVC, and the stage when it is at work."""
    started: list[subprocess.Popen[str]] = []
    stages: list[psutil.Process] = []

    def begin(
        command: str, shell: str = "/bin/sh", dvc: tuple[str, ...] = ("dvc", "repro")
    ) -> tuple[psutil.Process, psutil.Process]:
        write_stage(project, command)
        process = subprocess.Popen(
            dvc,
            cwd=project.folder,
            env=project.environment | {"SHELL": shell, "PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        # DVC shows the command itself after a >.
        lines = (line for line in iter(process.stdout.readline, "") if line[0] != ">")
        assert any("is at work" in line or "epoch" in line for line in lines)
        family = psutil.Process(process.pid).children(recursive=True)
        stages.extend(family)
        return psutil.Process(process.pid), family[-1]

    yield begin
    for process in stages:
        if lives(process):
            process.kill()
    for finished in started:
        finished.kill()
        finished.communicate()


def write_stage(project: Project, command: str) -> None:
    stages = {"stage": {"cmd": command, "outs": ["out.txt"]}}
    (project.folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))  # is YAML, too


BASH = shutil.which("bash") or "bash"
API = (sys.executable, "-c", "from dvc.cli import main; main(['repro'])")


@pytest.mark.parametrize(
    ("command", "shell", "dvc", "seconds"),
    [
        # dash stays between DVC and the stage, and bash does not.
        ('"$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 5),
        ('"$PYTHON" stage.py 600', BASH, ("dvc", "repro"), 5),
        ('true && "$PYTHON" stage.py 600; true', BASH, API, 5),
        ('setsid -w "$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 5),
        ('trap "" TERM; "$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 10),
    ],
)
def test_a_stage_ends_with_its_dvc(
    project: Project, repro: Repro, command: str, shell: str, dvc: tuple[str, ...], seconds: float
) -> None:
    process, stage = repro(command, shell, dvc)
    assert "stage.py" in stage.cmdline()
    process.kill()
    wait_until(lambda: not lives(stage), seconds)
    assert not (project.folder / "out.txt").exists()


def test_a_training_ends_with_its_dvc(
    project: Project, repro: Repro, normalized: Path, tiny_params: Path
) -> None:
    params = tiny_params.read_text().replace("epochs: 2", "epochs: 1000")
    (project.folder / "params.yaml").write_text(params)
    options = f"--normalized '{normalized}' --model model.keras --history out.txt"
    options += " --checkpoints .dvc/tmp/kept"
    process, stage = repro(f"convdepth train tiny {options}")
    before = {path.name for path in project.folder.iterdir()}
    process.kill()
    wait_until(lambda: not lives(stage), seconds=5)
    assert {path.name for path in project.folder.iterdir()} <= before
    assert not (project.folder / "out.txt").exists()


def test_a_stage_whose_dvc_is_gone_does_not_begin(project: Project, repro: Repro) -> None:
    wait = "echo is at work; while [ ! -e go ]; do sleep 0.1; done"
    process, _ = repro(f'{wait}; "$PYTHON" stage.py 0; echo $? > code')
    process.kill()
    wait_until(lambda: not lives(process))
    (project.folder / "go").touch()
    code = project.folder / "code"
    wait_until(lambda: code.exists() and code.read_text() != "")
    assert code.read_text() == "143\n"
    assert not (project.folder / "out.txt").exists()


def test_a_stage_that_is_done_is_not_held_up(project: Project) -> None:
    write_stage(project, f"{sys.executable} stage.py 0.6")
    project.run("dvc", "repro")
    assert (project.folder / "out.txt").read_text() == "published"


WHERE = """
from pathlib import Path

def print_summary(*_):
    print(Path(__file__).parents[3])
"""


@pytest.fixture
def clone(project: Project) -> Project:
    """The project with a copy of the package, which tells where its code is."""
    code = project.folder / "src" / "convdepth"
    shutil.copytree(
        PROJECT / "src" / "convdepth", code, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(PROJECT / "params.yaml", project.folder)
    (code / "commands" / "summary.py").write_text(WHERE)
    log = project.folder.parent / "ran.txt"
    write_stage(project, f"convdepth summary cnn1 | tee -a '{log}' > out.txt")
    project.commit("A clone")
    return project


def test_a_stage_runs_the_code_of_the_folder_where_dvc_runs_it(clone: Project) -> None:
    assert "1,199,882" in clone.run("convdepth", "summary", "cnn1")  # the installed code
    clone.run("dvc", "exp", "run", "--temp")
    study = clone.folder / "studies" / "depth"
    study.mkdir(parents=True)
    shutil.copy(clone.folder / "params.yaml", study)
    (clone.folder / "dvc.yaml").rename(study / "dvc.yaml")
    clone.run("dvc", "repro", "studies/depth/dvc.yaml")
    ran = (clone.folder.parent / "ran.txt").read_text().splitlines()
    experiment, below = map(Path, ran)
    assert experiment.is_relative_to(clone.folder / ".dvc" / "tmp" / "exps")
    assert below == clone.folder


def run_as_stage(clone: Project, *command: str, **variables: str) -> tuple[int, str, str]:
    finished = subprocess.run(
        [sys.executable, *command],
        cwd=clone.folder,
        env=clone.environment | {"DVC_STAGE": "stage"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout, finished.stderr


def test_other_code_than_that_of_the_project_is_refused(clone: Project) -> None:
    # With -E Python does not look at PYTHONPATH, so that to start again does not help.
    program = f"{RUN}run_app(lambda: print('ran'))"
    code, out, errors = run_as_stage(clone, "-E", "-c", program)
    assert (code, out) == (4, "")
    assert str(clone.folder / "src" / "convdepth") in errors
    assert str(Path(convdepth.__path__[0]).resolve()) in errors


def test_the_search_path_is_kept(clone: Project) -> None:
    program = f"{RUN}import os; run_app(lambda: print(os.environ['PYTHONPATH']))"
    code, out, _ = run_as_stage(clone, "-c", program, PYTHONPATH=f"/a{os.pathsep}/b")
    assert (code, out.strip()) == (0, os.pathsep.join([str(clone.folder / "src"), "/a", "/b"]))
