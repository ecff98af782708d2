#!/usr/bin/env bash
# make_venv.sh PYTHON DIRECTORY: creates a virtual environment with pip. If the interpreter has no pip, or one that is
# too old for it, as some of Debian's do, the script installs the newest pip through python3. It uses a pip in a temporary
# environment for this, because the pip of python3 may be too old to run under a newer interpreter.
set -euo pipefail

"$1" -m venv "$2" >/dev/null 2>&1 && exit 0
rm -rf "$2"
"$1" -m venv --without-pip "$2"
installer=$(mktemp -d)
trap 'rm -rf "$installer"' EXIT
python3 -m venv "$installer"
"$installer/bin/python" -m pip install --quiet --upgrade pip
"$installer/bin/python" -m pip --python "$2/bin/python" install --quiet --upgrade pip
