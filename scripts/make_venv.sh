#!/usr/bin/env bash
# make_venv.sh PYTHON DIRECTORY: a virtual environment with pip. An interpreter that comes without a pip of its own, or
# with one too old for it, as parts of Debian's do, gets a pip through that of python3.
set -euo pipefail

"$1" -m venv "$2" >/dev/null 2>&1 && exit 0
rm -rf "$2"
"$1" -m venv --without-pip "$2"
python3 -m pip --python "$2/bin/python" install --quiet --upgrade pip
