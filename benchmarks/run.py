"""Measure Interlock beside its peers: `benchmarks/run.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.cli import main

if __name__ == "__main__":
    main()
