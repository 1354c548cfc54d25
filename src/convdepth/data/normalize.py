"""The stage `normalize`: scale the raw pixels to the networks' input."""

from pathlib import Path

from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.data import arrays, idx


def main(raw: Path, normalized: Path, params: Path = Path("params.yaml")) -> None:
    """Normalize both splits, or the first ``normalize.max_images`` images of each."""
    max_images = read_params(params).normalize.max_images
    for split in SPLITS:
        pixels, labels = (array[:max_images] for array in idx.read_split(raw, split))
        arrays.write_split(normalized, split, arrays.normalize(pixels), labels)
        print(f"normalize: {split}: {len(labels):,} images", flush=True)
