"""The stage `normalize`: raw pixels become what the networks are fed with."""

from pathlib import Path

from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.data import arrays as images
from convdepth.data import idx


def main(raw: Path, normalized: Path, params: Path = Path("params.yaml")) -> None:
    """Normalize both splits, or the first ``normalize.max_images`` of each.

    Args:
        raw: The folder with the four IDX files.
        normalized: The folder that the arrays are written to, see `images.write_split`.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A raw file is missing, damaged, or of another shape or dtype.
        MachineError: An array cannot be written.
    """
    max_images = read_params(params).normalize.max_images
    for split in SPLITS:
        pixels, labels = idx.read_split(raw, split)
        images.write_split(
            normalized, split, images.normalize(pixels[:max_images]), labels[:max_images]
        )
        print(f"normalize: {split}: {len(labels[:max_images]):,} images", flush=True)
