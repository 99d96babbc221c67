"""``python -m golea_async``: the command ``golea``."""

from .cli import main

if __name__ == "__main__":
    main()
