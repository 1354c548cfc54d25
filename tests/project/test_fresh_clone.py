"""The lines of docs/models.md for a clone in which nothing was trained."""

import shutil
from pathlib import Path

from drawn import draw_split
from PIL import Image

import faults
from faults import Finished


def test_predict_works_with_a_release_or_a_remote(finished: Finished, tmp_path: Path) -> None:
    clone = faults.clone(finished.project, tmp_path / "clone")
    Image.fromarray(draw_split("test")[0][0]).save(tmp_path / "digit.png")

    def predict(model: str, code: int = 0) -> str:
        picture = str(tmp_path / "digit.png")
        return clone.run("convdepth", "predict", picture, "--model", model, code=code)

    assert "dvc pull" in predict("tiny", code=3)
    (clone.folder / "release").mkdir()
    trained = finished.project.folder / "data/models/tiny.keras"
    shutil.copy(trained, clone.folder / "release")
    answer = predict("tiny")
    shutil.rmtree(clone.folder / "release")
    clone.run("gto", "register", "tiny")
    clone.run("gto", "assign", "tiny", "--version", "v0.0.1", "--stage", "prod")
    storage = tmp_path / "storage"  # DVC cannot write an address that is not ASCII
    storage.symlink_to(finished.project.folder / ".dvc/cache")
    clone.run("dvc", "remote", "add", "--local", "--default", "storage", str(storage))
    (clone.folder / "params.yaml").write_text("architectures: {}\n")  # of another day
    assert predict("tiny@prod") == answer
    clone.run("git", "restore", "params.yaml")
    clone.run("dvc", "pull", "--quiet", "train@tiny")
    assert (clone.folder / "data/models/tiny.keras").read_bytes() == trained.read_bytes()
    assert "tiny@v0.0.1" in clone.run("convdepth", "models")
