"""The data rules by themselves; `test_validate` breaks each of them."""

import numpy as np
import pytest
from drawn import CLASS_COUNTS

from convdepth.data.validation import rules


@pytest.mark.parametrize("num_images", [10, 500, 5_000])
def test_a_sample_has_as_many_images_of_a_class_as_chance_allows(num_images: int) -> None:
    # An independent source of the same distribution: numpy draws from it.
    ones = CLASS_COUNTS["test"][1]
    drawn = np.random.default_rng(1).hypergeometric(ones, 10_000 - ones, num_images, size=20_000)
    wide = rules.class_range("test", 1, num_images, standard_errors=6)
    narrow = rules.class_range("test", 1, num_images, standard_errors=1)
    assert wide[0] <= drawn.min()
    assert drawn.max() <= wide[1]
    assert 0.55 < np.mean((narrow[0] <= drawn) & (drawn <= narrow[1])) < 0.8
