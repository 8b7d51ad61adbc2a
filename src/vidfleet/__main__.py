"""``python -m vidfleet`` and the command ``vidfleet``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    if sys.platform == "win32":
        sys.exit("vidfleet runs on Linux and macOS; on Windows, use WSL.")
    from vidfleet.cli import main as command_line

    sys.exit(command_line())


if __name__ == "__main__":
    main()
