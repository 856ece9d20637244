"""The contract of methods, and how plugins are found, looked up, sent to other processes and begun from a template."""
