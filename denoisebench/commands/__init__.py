"""Commands of the command line, one module per topic; `denoisebench.cli` registers them."""
