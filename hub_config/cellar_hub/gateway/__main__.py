"""`python -m cellar_hub.gateway`"""

import os
import sys

from .server import main

if __name__ == "__main__":
    sys.exit(main(os.environ))
