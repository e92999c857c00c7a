"""`python -m cellar_hub.console`"""

import os
import sys

from .server import main

sys.exit(main(os.environ))
