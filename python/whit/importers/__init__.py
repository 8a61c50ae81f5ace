"""Readers of other tools' models: each turns a file into a `whit.ir.Graph`."""
