"""The release bundle: models, report, cards, RO-Crate and checksums of the committed results.

Equal commits give equal bytes: the only date is the commit's, and no id is random.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData
from rocrate.rocrate import ROCrate

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import explained_temporary_folder, write_text
from convdepth.core.hashes import hash_files
from convdepth.data.idx import FILE_NAMES
from convdepth.data.mnist import SHA256
from convdepth.report.formats import percent
from convdepth.workspace.dvc import STUDIES
from convdepth.workspace.git import git
from convdepth.workspace.lockfile import LOCK
from convdepth.workspace.registry import MODEL, locked_outputs, read_results

CHECKSUMS = "SHA256SUMS"
TEMPLATES = Path(__file__).parent / "templates"

KINDS = {MODEL: "application/zip", ".html": "text/html", ".md": "text/markdown", "": "text/plain"}
"""Media types by suffix."""


def write_bundle(folder: Path, params: Path, project: Path = Path()) -> None:
    """Write the bundle of HEAD into a folder, in the place of an earlier bundle.

    Results that are missing, changed or not committed are a `DataError`: the bundle would not be
    that of a commit.
    """
    if changed := git("status", "--porcelain", "--untracked-files=no", folder=project):
        raise DataError(
            f"{project.absolute()}: expected no uncommitted change, got:\n{changed}\n"
            "Commit or restore these files, then run again."
        )
    if folder.exists() and not (folder / CHECKSUMS).is_file():
        raise DataError(f"{folder}: expected an earlier bundle or nothing. Move it away.")
    names = list(read_params(params).architectures)
    with explained_temporary_folder():
        temporary = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.tmp")
    with temporary as holder:
        made = Path(holder) / folder.name
        made.mkdir()
        for name in names:
            _copy(f"train@{name}", MODEL, made / f"{name}{MODEL}", project)
        _copy("report", ".html", made / "report.html", project, STUDIES.with_name(LOCK.name))
        shutil.copyfile(project / "LICENSE", made / "LICENSE")
        commit = _describe_commit(project)
        _write_cards(made, names, project, commit)
        _write_crate(made, commit)
        _write_checksums(made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _copy(stage: str, suffix: str, target: Path, project: Path, lock: Path = LOCK) -> None:
    """Copy a stage's output that has the recorded hash."""
    outputs = locked_outputs(stage, suffix, None, project, lock)
    ((path, md5),) = outputs or [(f"output of {stage}", "")]
    if not md5 or hash_files([project / path])[project / path].md5 != md5:
        raise DataError(
            f"{path}: expected the result that {lock} records. Run `dvc pull`, or `make repro` and "
            f"`make report`; then run again."
        )
    shutil.copyfile(project / path, target)


def _require_results(stage: str, project: Path) -> dict[str, Any]:
    if results := read_results(stage, None, project):
        return results
    raise DataError(f"{project / LOCK}: expected a result of {stage}. Run `make repro`.")


def _write_cards(folder: Path, names: list[str], project: Path, commit: Mapping[str, str]) -> None:
    networks = {name: _require_results(f"evaluate@{name}", project) for name in names}
    data = ModelCardData(
        license="mit",
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["mnist", "convolutional-neural-network"],
        datasets=["ylecun/mnist"],
        metrics=["accuracy"],
        model_name="convdepth",
        eval_results=[_evaluation(name, each["accuracy"]) for name, each in networks.items()],
    )
    facts: dict[str, Any] = {"networks": networks, "percent": percent, **commit}
    card = ModelCard.from_template(data, str(TEMPLATES / "README.md.j2"), **facts)
    write_text(folder / "README.md", str(card))
    mnist = DatasetCardData(
        license="cc-by-sa-3.0",
        pretty_name="MNIST",
        task_categories=["image-classification"],
        size_categories=["10K<n<100K"],
    )
    facts = {"validation": _require_results("validate", project), "sizes": SPLIT_SIZES}
    facts["files"] = {name: SHA256[name] for name in FILE_NAMES.values()}
    about = DatasetCard.from_template(mnist, str(TEMPLATES / "DATASET_CARD.md.j2"), **facts)
    write_text(folder / "DATASET_CARD.md", str(about))


def _evaluation(name: str, accuracy: float) -> EvalResult:
    return EvalResult(
        task_type="image-classification",
        dataset_type="mnist",
        dataset_name="MNIST",
        dataset_split="test",
        metric_type="accuracy",
        metric_name=f"accuracy of {name}",
        metric_value=accuracy,
    )


def _describe_commit(project: Path) -> dict[str, str]:
    commit, date = git("log", "-1", "--format=%H %cs", folder=project).split()
    return {"version": metadata.version("convdepth"), "commit": commit, "date": date}


def _write_crate(folder: Path, release: Mapping[str, str]) -> None:
    crate = ROCrate()
    for key, value in {
        "name": f"convdepth {release['version']}",
        "description": metadata.metadata("convdepth")["Summary"],
        "license": "https://spdx.org/licenses/MIT",
        "datePublished": release["date"],  # required, and by default that of now
        "version": release["version"],
        "identifier": release["commit"],
    }.items():
        crate.root_dataset[key] = value
    for path in sorted(folder.iterdir()):
        size, kind = str(path.stat().st_size), KINDS[path.suffix]
        properties = {"name": path.name, "contentSize": size, "encodingFormat": kind}
        crate.add_file(path, path.name, properties=properties)
    crate.metadata.write(folder)


def _write_checksums(folder: Path) -> None:
    """Write the digests in the form of the program `sha256sum`."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
    }
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
    write_text(folder / CHECKSUMS, "".join(lines))
