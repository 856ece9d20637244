"""Data sets: named images checked against manifests, real captures, their file formats, and how they are fetched."""
