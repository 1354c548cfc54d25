"""The answers of a network to images."""

import numpy as np
import pandas as pd

from convdepth.data.arrays import Images, Labels
from convdepth.models.backend import EVALUATION_BATCH_SIZE, keras


def predict(network: keras.Model, images: Images, labels: Labels) -> pd.DataFrame:
    """Classify images; return one row per image, floats rounded to six digits.

    The columns are index, label, predicted (0 to 9), second (the second most probable digit),
    probability (of the predicted digit, 0 to 1), and loss (cross-entropy in nats, at most 16.2
    since Keras clips probabilities at 1e-7).
    """
    probabilities = network.predict(images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    others = probabilities.copy()
    np.put_along_axis(others, predicted[:, np.newaxis], -1, axis=1)
    table = {
        "index": np.arange(len(labels)),
        "label": labels,
        "predicted": predicted,
        "second": others.argmax(axis=1),
        "probability": probabilities.max(axis=1).astype(np.float64).round(6),
        "loss": np.asarray(losses, np.float64).round(6),
    }
    return pd.DataFrame(table)
