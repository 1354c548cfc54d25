"""Child processes, on which all other packages build."""
