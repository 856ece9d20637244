"""A results folder as one HTML file that needs no network: tables to sort, charts, images to compare, provenance."""
