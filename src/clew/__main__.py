"""`python -m clew`."""

import sys

from clew.cli import main

sys.exit(main())
