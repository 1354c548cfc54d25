"""Keras models and their files; `backend` alone imports TensorFlow."""
