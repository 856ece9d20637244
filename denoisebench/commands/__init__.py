"""One module for each group of commands; `denoisebench.cli` registers them."""
