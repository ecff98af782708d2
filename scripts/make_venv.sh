#!/usr/bin/env bash
# make_venv.sh PYTHON DIRECTORY: a virtual environment with pip. An interpreter that comes without a pip of its own, or
# with one too old for it, as parts of Debian's do, gets the newest pip through python3. Not through the pip that python3
# has, which may be too old to run under a newer interpreter, but through one in an environment made for the moment.
set -euo pipefail

"$1" -m venv "$2" >/dev/null 2>&1 && exit 0
rm -rf "$2"
"$1" -m venv --without-pip "$2"
installer=$(mktemp -d)
trap 'rm -rf "$installer"' EXIT
python3 -m venv "$installer"
"$installer/bin/python" -m pip install --quiet --upgrade pip
"$installer/bin/python" -m pip --python "$2/bin/python" install --quiet --upgrade pip
