#!/usr/bin/env bash
# From nothing to a report: sets up .venv, then simulates logs, trains a small model on them and measures it.
# Usage: bash launch/quickstart.sh [--config.KEY=VALUE ...]
# Finished stages are reused; a changed key redoes the stages that depend on it.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh requirements.lock
for stage in simulate semantize curriculum sft df_grpo bench report; do
  "$venv/bin/python" "launch/$stage.py" --config=configs/quickstart.py --on_change=redo "$@"
done
