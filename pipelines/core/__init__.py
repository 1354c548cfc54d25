"""Git and child processes, on which all other packages build."""
