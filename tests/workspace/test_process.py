"""How a command ends, and what it does as a stage of a real DVC."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

import convdepth
from conftest import PROJECT
from project import HEED_SIGINT, Project, start

RUN = "from convdepth.workspace.process import run_app\n"
STAGE = f"""{RUN}
import pathlib, sys, time

def work():
    print("is at work", flush=True)
    time.sleep(float(sys.argv[1]))
    pathlib.Path("out.txt").write_text("published")

run_app(work)
"""
"""Stands for a stage: it works for the seconds that it is given, and then publishes."""


def run(code: str) -> subprocess.CompletedProcess[str]:
    program = f"import os, signal, sys, time\nfrom convdepth.core.errors import *\n{RUN}{code}"
    command = [sys.executable, "-c", HEED_SIGINT + program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


TERM = """
def f():
    try:
        os.kill(os.getpid(), 15)
        time.sleep(0.2)
    except SystemExit as error:
        raise RuntimeError('as TensorFlow does it') from error
"""


CHILD = "os.environ['CONVDEPTH_PARENT'] = str(os.getppid())\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("def f(): pass", 0, ""),
        ("def f(): sys.exit(3)", 3, ""),
        ("def f(): raise DataError('x: damaged')", 3, "error: x: damaged\n"),
        ("def f(): raise KeyboardInterrupt", 130, ""),
        ("def f(): os.kill(os.getpid(), 15); time.sleep(60)", 143, ""),
        ("def f(): os.kill(os.getpid(), 2); time.sleep(60)", 130, ""),
        (TERM, 143, ""),
        # As a child of a flow that is gone, and of one that lives.
        ("os.environ['CONVDEPTH_PARENT'] = '1'\ndef f(): time.sleep(60)", 143, ""),
        (f"{CHILD}def f(): sys.exit('CONVDEPTH_PARENT' in os.environ)", 0, ""),
        # As a shell starts a background job.
        (f"for number in (2, 15): signal.signal(number, signal.SIG_IGN){TERM}", 0, ""),
    ],
)
def test_the_exit_code_tells_how_it_ended(code: str, exit_code: int, message: str) -> None:
    finished = run(f"{code}\nrun_app(f)")
    assert (finished.returncode, finished.stderr) == (exit_code, message)


def test_a_mistake_of_ours_has_a_traceback() -> None:
    finished = run("run_app(lambda: 1 / 0)")
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr


Repro = Callable[..., tuple[psutil.Process, psutil.Process]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A DVC project without any stage."""
    return start(tmp_path / "toy", tmp_path, {"stage.py": STAGE})


@pytest.fixture
def repro(project: Project) -> Iterator[Repro]:
    """Starts `dvc repro` with one stage; gives DVC, and the stage when it is at work."""
    started: list[psutil.Process] = []

    def begin(
        command: str, shell: str = "/bin/sh", dvc: tuple[str, ...] = ("dvc", "repro")
    ) -> tuple[psutil.Process, psutil.Process]:
        write_stage(project, command)
        environment = project.environment | {"SHELL": shell, "PYTHON": sys.executable}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = psutil.Popen(dvc, cwd=project.folder, env=environment, text=True, **pipes)
        started.append(process)
        # DVC shows the command itself after a >.
        lines = (line for line in iter(process.stdout.readline, "") if line[0] != ">")
        assert any("is at work" in line or "epoch" in line for line in lines)
        started.extend(process.children(recursive=True))
        return process, started[-1]

    yield begin
    for process in reversed(started):
        if lives(process):
            process.kill()
    started[0].communicate()


def write_stage(project: Project, command: str) -> None:
    stages = {"stage": {"cmd": command, "outs": ["out.txt"]}}
    (project.folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))  # is YAML, too


nightly = partial(pytest.param, marks=pytest.mark.nightly)

BASH = shutil.which("bash") or "bash"
API = (sys.executable, "-c", "from dvc.cli import main; main(['repro'])")


@pytest.mark.parametrize(
    ("command", "shell", "dvc", "seconds"),
    [
        # dash stays between DVC and the stage, and bash does not.
        ('"$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 5),
        nightly('"$PYTHON" stage.py 600', BASH, ("dvc", "repro"), 5),
        nightly('true && "$PYTHON" stage.py 600; true', BASH, API, 5),
        nightly('setsid -w "$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 5),
        ('trap "" TERM; "$PYTHON" stage.py 600', "/bin/sh", ("dvc", "repro"), 10),
    ],
)
def test_a_stage_ends_with_its_dvc(
    project: Project, repro: Repro, command: str, shell: str, dvc: tuple[str, ...], seconds: float
) -> None:
    process, stage = repro(command, shell, dvc)
    process.kill()
    wait_until(lambda: not lives(stage), seconds)
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


def test_other_code_than_that_of_the_project_is_refused(clone: Project) -> None:
    program = f"{RUN}import os; run_app(lambda: print(os.environ['PYTHONPATH']))"
    clone.environment |= {"DVC_STAGE": "stage", "PYTHONPATH": f"/a{os.pathsep}/b"}
    source = clone.folder / "src"
    path = clone.run(sys.executable, "-c", program)
    assert path.strip() == os.pathsep.join([str(source), "/a", "/b"])
    # With -E Python does not look at PYTHONPATH, so that to start again does not help.
    message = clone.run(sys.executable, "-E", "-c", program, code=4)
    assert str(source / "convdepth") in message
    assert str(Path(convdepth.__path__[0]).resolve()) in message
