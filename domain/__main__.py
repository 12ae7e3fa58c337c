"""Run the command line with ``python -m domain``."""

import sys

from domain.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
