"""The tables of the Blind2Unblind paper: as published, and measured beside it."""
