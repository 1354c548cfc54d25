"""The project folder as git, DVC, processes and locks see it."""
