"""Measures whit beside other runtimes: README.md in this folder."""
