#!/usr/bin/env bash
# Resolves pyproject.toml into the two lock files, for all platforms and Pythons; needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=(uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 pyproject.toml)
"${lock[@]}" --output-file requirements.lock "$@"
"${lock[@]}" --constraint requirements.lock --extra test --output-file requirements-test.lock "$@"
