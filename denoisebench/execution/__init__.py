"""Running cells: what is missing, who computes it and where, and how long it will take."""
