"""Standard output of real commands: hostile texts, full disks, and readers that are gone."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMAND

from conftest import PROJECT

HOSTILE = "\x1b]0;title\x07 \x9b2J \u202e\udcff\r"

nightly = pytest.mark.nightly


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["summary", "cnn1"],
        ["check", "--checked=checked.txt"],
        *(pytest.param(words, marks=nightly) for words in (["device"], ["doctor"], ["verify"])),
        pytest.param(["compare", "HEAD"], marks=nightly),
    ],
    ids=" ".join,
)
def test_a_full_output_is_an_error_and_a_gone_reader_the_end(
    words: list[str], tmp_path: Path
) -> None:
    command = [COMMAND, *(word.replace("=", f"={tmp_path}/") for word in words)]
    source, sink = os.pipe()
    os.close(source)
    for output, code, lines in ((os.open("/dev/full", os.O_WRONLY), 4, 1), (sink, 141, 0)):
        ended = subprocess.run(
            command, cwd=PROJECT, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(output)
        assert (ended.returncode, ended.stderr.count("\n")) == (code, lines), ended.stderr


PROGRAM = """
import sys, warnings
from rich.console import Console
from rich.progress import Progress
from convdepth.core.errors import DataError
from convdepth.workspace.process import run_app
from convdepth.workspace.terminal import guard_terminal

def work():
    for file in (sys.stdout, sys.stderr):
        print(text, file=file)
    warnings.warn(text)
    Console().print(text, style="bold")
    with Progress():
        raise DataError(text)

text = sys.argv[1] + chr(0xdcff)
guard_terminal()
run_app(work)
"""
"""Says the same text in each way; its first argument cannot hold a lone surrogate."""


@pytest.mark.parametrize(
    ("command", "code", "times"),
    [
        ([sys.executable, "-W", "error", "-c", PROGRAM], 3, 4),
        ([COMMAND], 2, 0),
        ([COMMAND, "summary"], 2, 1),
        ([COMMAND, "summary", "cnn1", "--params"], 2, 1),
    ],
    ids=["program", "command", "name", "file"],
)
def test_a_text_from_outside_cannot_steer_the_terminal(
    command: list[str], code: int, times: int
) -> None:
    terminal, end = pty.openpty()
    environment = os.environ | {"COLUMNS": "300", "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    hostile = HOSTILE.encode(errors="surrogateescape")
    with subprocess.Popen(
        [*command, hostile], cwd=PROJECT, stdout=end, stderr=end, env=environment
    ) as process:
        os.close(end)
        output = b""
        try:
            while part := os.read(terminal, 4096):
                output += part
        except OSError:  # the process has ended
            os.close(terminal)
    text = output.decode()
    assert process.returncode == code, text
    assert text.count(r"\x1b]0;title\x07 \x9b2J \u202e") >= times
    assert not [code for code in ("\x1b]", "\x07", "\x9b", "\u202e") if code in text]
    assert times or "\x1b[" in text  # rich still has its colors
