"""Git commits, clones and result branches."""
