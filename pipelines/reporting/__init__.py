"""What a flow shows: artifacts, regressions, console lines."""
