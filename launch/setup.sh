# Sourced by quickstart.sh and test.sh: makes .venv with the locked packages, unless it is there already.
# $1: the lock file. PYTHON: which interpreter to use (default: python3, 3.11 or newer).
lock="$1"
# glibc gives each freed buffer of a step back to the kernel and faults it in again; this keeps them instead.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:glibc.malloc.trim_threshold=17179869184}"
python="${PYTHON:-python3}"
venv="${VENV:-.venv}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "error: $("$python" --version) is too old; Python >= 3.11 is needed (set PYTHON=...)" >&2; exit 2; }
if ! cmp -s "$lock" "$venv/$lock"; then
  echo "setting up $venv from $lock"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
  cp "$lock" "$venv/$lock"
fi
