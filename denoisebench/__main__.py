"""``python -m denoisebench``: the same as the command."""

from denoisebench.cli import main

if __name__ == "__main__":
    main()
