"""`python -m attnpanel` is the command line."""

import sys

from attnpanel.cli import main

sys.exit(main())
