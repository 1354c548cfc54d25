"""Release bundles: what a newcomer needs to use the results without training."""
