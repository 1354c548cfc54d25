"""Prefect for this project: it runs and reports on DVC's stages. `dvc repro` needs none of it."""
