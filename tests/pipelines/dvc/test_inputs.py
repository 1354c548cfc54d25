"""What a flow needs is checked before Prefect is imported."""

import serving
import toy

from conftest import PROJECT
from project import Project


def test_names_parameters_and_files_are_checked_before_prefect(project: Project) -> None:
    # Prefect would complain of the setting as soon as it is imported.
    project.environment |= {"PYTHONPATH": str(PROJECT), "PREFECT_CLIENT_MAX_RETRIES": "x"}

    def refused(code: int, named: str, *arguments: str) -> None:
        said = project.run(*serving.PIPELINES, *arguments, code=code).splitlines()
        assert len(said) == 1
        assert named in said[0]

    refused(2, "architectures.three", "train-architecture", "three")
    refused(2, "architectures.three", "tune", "--architecture", "three")
    refused(2, "architectures.three", "sweep", "--set", "train.seed=1", "--architecture", "three")
    refused(2, "train.sed", "sweep", "--set", "train.sed=1")
    refused(2, "presets.slow", "pipeline", "--preset", "slow")
    refused(3, "normalized.txt", "train-architecture", "one")
    refused(3, "one.json", "plot-results")
    refused(2, "dvc remote add", "spread")
    toy.share(project)
    project.run("git", "commit", "--quiet", "--allow-empty", "--message", "Not pushed")
    refused(4, "`git push`", "spread")
    (project.folder / "accuracy").write_text("0.7")
    refused(2, "accuracy", "spread")
    project.edit_params({"train.epochs": 0})
    refused(2, "train.epochs", "prepare-data")
