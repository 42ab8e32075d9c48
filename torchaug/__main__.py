"""`python -m torchaug` is the command torchaug: for launchers such as torchrun, which start modules."""

from __future__ import annotations

import sys

from torchaug.cli import main

if __name__ == "__main__":
    sys.exit(main())
