"""Where a difference comes from: details of the protocol toggled one at a time on a finished run."""
