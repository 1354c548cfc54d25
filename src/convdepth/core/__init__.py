"""Errors, atomic files, hashes and text helpers, on which all other packages build."""
