"""What leaves this machine: weights that ship, and files for the servers of test sets."""
