"""The stage `normalize`."""

from pathlib import Path

import numpy as np
import pytest
from drawn import draw_split

from convdepth.data.arrays import read_split
from convdepth.data.normalize import main


@pytest.mark.parametrize("max_images", [700, None])
def test_the_first_images_of_each_split_are_kept(
    raw: Path, tmp_path: Path, params_text: str, max_images: int | None
) -> None:
    params = tmp_path / "params.yaml"
    limit = "null" if max_images is None else str(max_images)
    params.write_text(params_text.replace("max_images: null", f"max_images: {limit}"))
    main(raw=raw, normalized=tmp_path / "normalized", params=params)
    for split in ("train", "test"):
        images, labels = read_split(tmp_path / "normalized", split)
        pixels, raw_labels = draw_split(split)
        np.testing.assert_array_equal(labels, raw_labels[:max_images])
        np.testing.assert_array_equal((images[..., 0] * 255).round(), pixels[:max_images])
