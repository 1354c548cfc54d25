"""The stage `evaluate_corrupted`: evaluate a training by the shared recipe on corrupted images."""

from pathlib import Path

import numpy as np
import pandas as pd

from convdepth.config.questions import read_recipe
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.data.corruptions import CORRUPTIONS
from convdepth.evaluation.answers import predict
from convdepth.evaluation.metrics import score_training
from convdepth.evaluation.question_scores import CorruptedScores
from convdepth.models.archive import load_network
from convdepth.models.backend import configure


def main(
    network: str,
    corrupted: Path,
    model: Path,
    scores: Path,
    mistakes: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Write the scores over all corruptions, and the accuracy with each.

    ``mistakes`` has a row for each test image that is wrong with a corruption: index, and with how
    many.
    """
    architecture, recipe = read_recipe("shared", "recipe", network, params, studies)
    configure(recipe.threads, portable=recipe.portable)
    trained = load_network(architecture, model, recipe.precision)
    tables = {name: predict(trained, *read_split(corrupted / name, "test")) for name in CORRUPTIONS}
    is_wrong = {name: table["predicted"] != table["label"] for name, table in tables.items()}
    counts = np.sum(list(is_wrong.values()), axis=0)
    index = np.flatnonzero(counts)
    write_csv(mistakes, pd.DataFrame({"index": index, "corruptions": counts[index]}))
    found = score_training(pd.concat(tables.values(), ignore_index=True))
    by_corruption = {name: round(1 - float(each.mean()), 6) for name, each in is_wrong.items()}
    result = CorruptedScores(**dict(found), by_corruption=by_corruption)
    write_json(scores, result.model_dump())
    print(f"{scores}: accuracy {found.accuracy:.4f} over {len(tables)} corruptions", flush=True)
