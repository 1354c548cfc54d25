"""The notebook's own way, ported to Keras 3 as plainly as possible; on TensorFlow, or on JAX.

Everything in memory, one-hot labels, `model.fit`, and Keras's defaults for all the rest.
"""

import argparse
import json

import keras
import numpy as np
from keras import layers
from protocol import serve

WARM_UP = 2 * 128 + 96
"""Images before what is measured: whole batches, and a last one that is smaller, as in MNIST."""


def main() -> None:
    """Build the network, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=json.loads, required=True)
    parser.add_argument("--normalized", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    keras.config.set_dtype_policy(arguments.precision)
    x_train, y_train = read(arguments.normalized, "train", arguments.images)
    x_test, y_test = read(arguments.normalized, "test", arguments.images // 6)
    model = build(arguments.layers)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])

    def fit(images: int) -> int:
        model.fit(
            x_train[:images],
            y_train[:images],
            batch_size=128,
            epochs=1,
            verbose=0,
            validation_data=(x_test, y_test),
        )
        return images

    fit(WARM_UP)
    serve(lambda: fit(arguments.images))


def read(folder: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read images, and labels as one-hot vectors."""
    images = np.load(f"{folder}/{split}_images.npy")[:count]
    labels = np.load(f"{folder}/{split}_labels.npy")[:count]
    return images, keras.utils.to_categorical(labels, 10)


def build(entries: list[dict]) -> keras.Model:
    """Build a network from its layers, poolings of 1 x 1 among them."""
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for entry in entries:
        match entry.pop("kind"):
            case "convolution":
                model.add(layers.Conv2D(**entry, activation="relu"))
            case "pooling":
                model.add(layers.MaxPooling2D(**entry))
            case "dropout":
                model.add(layers.Dropout(**entry))
            case "flatten":
                model.add(layers.Flatten())
            case "dense":
                model.add(layers.Dense(**entry))
    return model


if __name__ == "__main__":
    main()
