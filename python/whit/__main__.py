"""`python -m whit`: the command line."""

import sys

from whit.cli import main

if __name__ == "__main__":
    sys.exit(main())
