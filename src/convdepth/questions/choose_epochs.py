"""The stage `epochs`: how many epochs the shared recipe has, by held-out images."""

from pathlib import Path
from statistics import fmean

from convdepth.config.questions import read_plan
from convdepth.core.files import write_json
from convdepth.evaluation import results
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.question_scores import EpochChoice
from convdepth.evaluation.result_file import read_result


def main(runs: Path, summary: Path, studies: Path = Path("studies/params.yaml")) -> None:
    """Choose the number with the highest mean accuracy of all networks; write `EpochChoice`.

    A tie goes to fewer epochs. ``runs`` has ``<epochs>/<network>/<seed>.scores.json``.
    """
    plan = read_plan("epochs", studies)
    accuracies = {
        epochs: {
            name: fmean(
                read_result(
                    runs / epochs / name / f"{seed}.scores.json", Scores, results.STUDIES
                ).accuracy
                for seed in plan.seeds
            )
            for name in plan.networks
        }
        for epochs in sorted(plan.groups, key=int)
    }
    means = {epochs: round(fmean(each.values()), 6) for epochs, each in accuracies.items()}
    chosen = max(means, key=lambda epochs: means[epochs])  # the first of equal ones
    result = EpochChoice(epochs=int(chosen), means=means, networks=accuracies)
    write_json(summary, result.model_dump())
    print(f"epochs: {chosen}, held-out accuracy {means[chosen]:.4f}", flush=True)
