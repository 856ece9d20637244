"""From the text of an experiment to its cells."""
