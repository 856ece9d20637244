"""Where the command begins: Ctrl-C is a sentence before anything that takes long is loaded."""

from denoisebench.core.interrupts import stop_at_once


def main() -> None:
    """Entry point of the `denoisebench` command, and of `python -m denoisebench`."""
    stop_at_once()
    # Loading this takes most of a second.
    from denoisebench.cli import main as command

    command()


if __name__ == "__main__":
    main()
