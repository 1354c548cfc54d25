"""Made-up images, where the time does not depend on what they show."""

import numpy as np

from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES
from convdepth.training.data import Subset, TrainingData


def made_up_data(images: int) -> TrainingData:
    """Make images of noise, with labels by chance; ten of them are those of the validation."""
    random = np.random.default_rng(0)
    pixels = random.random((images, *IMAGE_SHAPE), np.float32)
    labels = random.integers(NUM_CLASSES, size=images, dtype=np.uint8)
    training = Subset(pixels, labels, np.arange(images))
    return TrainingData(training, Subset(pixels, labels, np.arange(10)))
