#!/usr/bin/env bash
# Makes a notebook server ready for the course: Google Colab, Kaggle, SageMaker Studio Lab, Lightning
# and others that have PyTorch. The first cell of each notebook runs it, after cloning, with the
# kernel's Python; running it again does no harm.
#
# What is there stays as it is: a torch, numpy, ipywidgets or ipykernel exchanged under a running
# kernel breaks it. So packages are installed only where they are missing, without dependencies,
# and the library not at all: the notebook imports it from this folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${1:-python3}

absent() {
  "$python" - "$@" <<'PYTHON'
import sys
from importlib.util import find_spec

print(*(name for name in sys.argv[1:] if not find_spec(name)))
PYTHON
}

gone=$(absent torch numpy matplotlib)
if [ -n "$gone" ]; then
  echo "There is no $gone here, so this is no notebook server with PyTorch: set up with \`make setup\` instead."
  exit 1
fi

# What the library imports beyond those, and what pooch needs in turn.
missing=$(absent pooch platformdirs packaging requests psutil tqdm safetensors pydantic filelock)
if [ -n "$missing" ]; then
  echo "Installing $missing ..."
  # Unquoted: each word is a package.
  if ! "$python" -m pip install --quiet --no-deps --no-input --retries 1 --timeout 15 \
    --root-user-action ignore --disable-pip-version-check $missing; then
    echo "pip could not install $missing. If there is no network, run the cell again once there is."
    exit 1
  fi
fi

"$python" -m nanogpt_lib.room.colab
