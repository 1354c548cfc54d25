"""How often the networks read pictures that are not of MNIST, before and after preprocessing.

"Stretched" is what `convdepth predict` did before: grey, inverted if the rim is light, stretched to
28 x 28 pixels. "MNIST's form" is what it does now.

Writes ``benchmarks/results/pictures.json`` and ``pictures.csv``, and the table in
``benchmarks/README.md``.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from networks import PARAMS
from picture_sets import Sample, make_samples
from PIL import Image, ImageOps
from reporting import make_parser, record, write_rows

from convdepth.commands.predict import SURE
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.data.arrays import Pixels, normalize
from convdepth.data.mnist_form import SIDE, to_mnist_form
from convdepth.data.pictures import decode_picture
from convdepth.models.archive import load_network
from convdepth.models.backend import configure
from convdepth.workspace.lockfile import model_path

BEFORE, AFTER = "stretched", "MNIST's form"


def main() -> None:
    """Measure, and write the results."""
    make_parser(__doc__).parse_args()
    params = read_params(PARAMS)
    configure(threads=1, portable=params.train.portable)
    samples = list(make_samples())
    arms: dict[str, Callable[[Sample], Pixels]] = {BEFORE: stretch, AFTER: prepare}
    pixels = {arm: np.stack([read(each) for each in samples]) for arm, read in arms.items()}
    tables = []
    for name, architecture in params.architectures.items():
        path = model_path(name, PARAMS.parent)
        network = load_network(architecture, path, params.train.precision)
        for arm, images in pixels.items():
            answers = network.predict(normalize(images), verbose=0)
            columns = {
                "group": [each.group for each in samples],
                "number": np.arange(len(samples)),
                "label": [each.label for each in samples],
                "predicted": answers.argmax(axis=1),
                "probability": answers.max(axis=1).astype(float).round(4),
            }
            tables.append(pd.DataFrame({"network": name, "arm": arm, **columns}))
    rows = pd.concat(tables)
    write_rows("pictures", rows)
    record("pictures", summarize(rows), table)


def prepare(sample: Sample) -> Pixels:
    """Read a picture as `convdepth predict` does; one that it refuses is blank."""
    try:
        return to_mnist_form(decode_picture(sample.content)).centred
    except DataError:
        return np.zeros((SIDE, SIDE), np.uint8)


def stretch(sample: Sample) -> Pixels:
    """Read a picture as `convdepth predict` did before."""
    with Image.open(io.BytesIO(sample.content)) as picture:
        sheet = Image.new("RGBA", picture.size, "white")
        sheet.alpha_composite(picture.convert("RGBA"))
    grey = sheet.convert("L")
    pixels = np.asarray(grey)
    if np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean() > 127:
        grey = ImageOps.invert(grey)
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def summarize(rows: pd.DataFrame) -> dict[str, Any]:
    """Count right answers by group, arm and network; sure answers, and right ones among them."""
    rows = rows.assign(right=rows["predicted"] == rows["label"], sure=rows["probability"] >= SURE)
    counted = rows.groupby(["group", "arm", "network"], sort=False)["right"].sum()
    right: dict[str, dict[str, dict[str, int]]] = {}
    for (group, arm, network), number in counted.items():
        right.setdefault(group, {}).setdefault(arm, {})[network] = int(number)
    sizes = rows.groupby("group", sort=False)["number"].nunique()
    sure = {
        str(network): {
            "answers": len(part),
            "sure": int(part["sure"].sum()),
            "sure_and_right": int((part["sure"] & part["right"]).sum()),
        }
        for network, part in rows[rows["arm"] == AFTER].groupby("network", sort=False)
    }
    images = {str(group): int(size) for group, size in sizes.items()}
    return {"images": images, "right": right, "sure": sure}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    networks = list(result["sure"])
    heads = " | ".join(f"`{name}`, {arm}" for name in networks for arm in ("before", "after"))
    lines = [f"| | pictures | {heads} |", "|---|" + "--:|" * (1 + 2 * len(networks))]
    for group, arms in result["right"].items():
        size = result["images"][group]
        shares = (arms[arm][name] / size for name in networks for arm in (BEFORE, AFTER))
        lines.append(f"| {group} | {size} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    total = sum(result["images"].values())
    sums = {
        (name, arm): sum(arms[arm][name] for arms in result["right"].values()) / total
        for name in networks
        for arm in (BEFORE, AFTER)
    }
    lines.append(f"| all | {total} | {' | '.join(f'{share:.0%}' for share in sums.values())} |")
    lines += ["", f"| after, probability of {SURE:.0%} or more | of all answers | of these right |"]
    lines += ["|---|--:|--:|"]
    for name, counts in result["sure"].items():
        right = f"{counts['sure_and_right'] / counts['sure']:.0%}" if counts["sure"] else "-"
        cells = [f"{counts['sure'] / counts['answers']:.0%}", right]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
