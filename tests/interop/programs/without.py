"""Runs another program of this directory as though a module were not installed; the arguments: MODULE FILE ARGS..."""

import os
import runpy
import sys

sys.modules[sys.argv[1]] = None  # type: ignore[assignment] - an import of it now fails
sys.argv = sys.argv[2:]
runpy.run_path(os.path.join(os.path.dirname(__file__), sys.argv[0]), run_name="__main__")
