"""Small studies of the network ``tiny``: their parameters, and how to run their stages."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from conftest import PROJECT, write_tiny_params

SETTINGS = {
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "shift": 0.1,
    "rotation": 0.02,
    "zoom": 0.05,
    "dropout_scale": 0.5,
    "batch_normalization": True,
}
TUNED = {
    "epochs": 1,
    "precision": "mixed_bfloat16",
    "seeds": [1, 2],
    "settings": {"tiny": SETTINGS},
}


@dataclass(frozen=True)
class Study:
    """A folder for results, with both files of parameters."""

    folder: Path
    normalized: Path

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def studies(self) -> Path:
        return self.folder / "studies.yaml"

    def run(self, main: Callable[..., None], name: str = "tiny", **arguments: Any) -> None:
        """Run a stage; texts are paths in the folder."""
        common = {"normalized": self.normalized, "params": self.params, "studies": self.studies}
        common |= {"name": name, "code": "of the tests"}
        used = {key: common[key] for key in common.keys() & inspect.signature(main).parameters}
        paths = {key: self.folder / each for key, each in arguments.items() if type(each) is str}
        main(**used | arguments | paths)

    def read(self, name: str) -> Any:
        """Read a JSON file of the folder."""
        return json.loads((self.folder / name).read_text())


def make_study(folder: Path, params_text: str, normalized: Path) -> Study:
    """Make a study with two seeds."""
    write_tiny_params(folder, params_text)
    entries = YAML(typ="safe").load(PROJECT / "studies" / "params.yaml")
    changes = {"recipe": {"seeds": [1, 2]}, "tuned": TUNED | {"settings": {"tiny": SETTINGS}}}
    YAML().dump(entries | changes, folder / "studies.yaml")
    return Study(folder, normalized)
