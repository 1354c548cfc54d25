"""Steps of Keras on one batch: arithmetic, and nothing that feeds it."""

import argparse
import json

import keras
import numpy as np
from keras_plain import build
from protocol import serve

STEPS = 15
BATCH_SIZE = 128


def main() -> None:
    """Build the network, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=json.loads, required=True)
    parser.add_argument("--precision", required=True)
    arguments = parser.parse_args()
    keras.config.set_dtype_policy(arguments.precision)
    generator = np.random.default_rng(0)
    images = generator.random((BATCH_SIZE, 28, 28, 1), np.float32)
    labels = np.eye(10, dtype=np.float32)[generator.integers(10, size=BATCH_SIZE)]
    model = build(arguments.layers)
    model.compile(optimizer="adam", loss="categorical_crossentropy", jit_compile=False)

    def unit() -> int:
        for _ in range(STEPS):
            model.train_on_batch(images, labels)
        return STEPS * BATCH_SIZE

    unit()
    serve(unit)


if __name__ == "__main__":
    main()
