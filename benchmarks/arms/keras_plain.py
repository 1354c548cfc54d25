"""A plain Keras 3 port of the notebook, on TensorFlow or JAX.

Images in memory, one-hot labels, `model.fit`, and Keras's defaults for everything else.
"""

import argparse
import json

import keras
import numpy as np
from keras import layers
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.utils.module_utils import tensorflow as tf  # imported when it is used
from protocol import serve


def main() -> None:
    """Build the network and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=json.loads, required=True)
    parser.add_argument("--normalized", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--epochs", type=int, default=1, help="of each call of fit")
    parser.add_argument("--calls", type=int, default=1, help="of fit, per unit of work")
    parser.add_argument("--no-tuner", action="store_true", help="disable tf.data's autotune")
    arguments = parser.parse_args()
    if arguments.no_tuner:
        disable_tuner()
    keras.config.set_dtype_policy(arguments.precision)
    train = read(arguments.normalized, "train", arguments.images)
    test = read(arguments.normalized, "test", arguments.images // 6)
    model = build(arguments.layers)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])

    def unit() -> int:
        for _ in range(arguments.calls):
            model.fit(
                *train, batch_size=128, epochs=arguments.epochs, verbose=0, validation_data=test
            )
        return int(arguments.calls * arguments.epochs * arguments.images)

    serve(unit)


def disable_tuner() -> None:
    """Set ``autotune.enabled`` to false in the pipeline that `fit` builds from arrays."""
    build_dataset, options = ArrayDataAdapter.get_tf_dataset, tf.data.Options()
    options.autotune.enabled = False
    ArrayDataAdapter.get_tf_dataset = lambda self: build_dataset(self).with_options(options)


def read(folder: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read images, and labels as one-hot vectors."""
    images = np.load(f"{folder}/{split}_images.npy")[:count]
    labels = np.load(f"{folder}/{split}_labels.npy")[:count]
    return images, keras.utils.to_categorical(labels, 10)


def build(entries: list[dict]) -> keras.Model:
    """Build a network from its layers, including poolings of 1 x 1."""
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
