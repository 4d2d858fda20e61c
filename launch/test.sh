#!/usr/bin/env bash
# Sets up .venv and runs the tests. Usage: bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh requirements-test.lock
# In the order of the folders, so that files of few but long tests are not all left for the end.
"$venv/bin/python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
