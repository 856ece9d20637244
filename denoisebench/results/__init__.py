"""Stored results: one checked file per cell, read, written and summed up."""
