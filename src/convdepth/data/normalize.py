"""The stage `normalize`: scale the raw pixels to the networks' input."""

from pathlib import Path

from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.data import arrays, idx


def main(raw: Path, normalized: Path, params: Path = Path("params.yaml")) -> None:
    """Normalize both splits, or the first ``normalize.max_images`` images of each.

    Args:
        raw: Folder with the four IDX files.
        normalized: Folder for the arrays, see `arrays.write_split`.
        params: The parameters.
    """
    max_images = read_params(params).normalize.max_images
    for split in SPLITS:
        pixels, labels = idx.read_split(raw, split)
        images, labels = arrays.normalize(pixels[:max_images]), labels[:max_images]
        arrays.write_split(normalized, split, images, labels)
        print(f"normalize: {split}: {len(labels):,} images", flush=True)
