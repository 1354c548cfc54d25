"""Prefect servers, deployments and workers."""
