"""DVC's graph, stages, lock file and remote."""
