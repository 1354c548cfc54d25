"""The stages of `studies/dvc.yaml` and the hyperparameter search."""
