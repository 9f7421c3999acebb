"""``python -m switch.cli`` is the ``switch`` command."""

from switch.cli.main import main

if __name__ == "__main__":
    main()
