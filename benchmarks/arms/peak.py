"""Matrix products by TensorFlow: the arithmetic that one core reaches now."""

import argparse

from protocol import serve

from convdepth.models.backend import configure, tf

SIZE = 1024
REPEATS = {"float32": 40, "portable": 40, "bfloat16": 80}


def main() -> None:
    """Serve products."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=list(REPEATS), required=True)
    kind = parser.parse_args().kind
    configure(1, portable=kind == "portable")
    precision = "bfloat16" if kind == "bfloat16" else "float32"
    left, right = (tf.cast(tf.random.normal((SIZE, SIZE), seed=1), precision) for _ in "ab")

    def unit() -> int:
        for _ in range(REPEATS[kind]):
            product = tf.matmul(left, right)
        product.numpy()
        return REPEATS[kind] * 2 * SIZE**3

    serve(unit)


if __name__ == "__main__":
    main()
