"""The two parameter files, typed and strict; no Keras."""
