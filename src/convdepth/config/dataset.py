"""Facts about MNIST that parameters, data and networks share."""

IMAGE_SHAPE = (28, 28, 1)
"""Height, width, channels of one image."""

NUM_CLASSES = 10
"""The digits 0 to 9."""

SPLITS = ("train", "test")
"""MNIST's own split: 60,000 images to train on, 10,000 to test with."""

SPLIT_SIZES = {"train": 60_000, "test": 10_000}
"""The number of images in each split of the whole MNIST."""
