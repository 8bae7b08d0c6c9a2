#!/usr/bin/env bash
# Writes requirements.lock: the newest versions that pyproject.toml admits today, torch held at one release.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"${BASE_PYTHON:-python3}" -m venv "$venv"
# One command, so that no other package can choose another torch first.
"$venv/bin/pip" install -qq torch==2.13.0 hatchling editables '.[test,bench]'
frozen=$("$venv/bin/pip" freeze --all --exclude pip --exclude bertsmith)
if grep -E '^(nvidia|cuda|triton)' <<<"$frozen"; then
    echo "tools/lock.sh: this is torch's CUDA build; point pip at the CPU build and try again" >&2
    exit 1
fi

{
    cat <<'HEADER'
# Exact versions of all that the tests, the demo, the checks and the benchmarks need, on Python 3.11 or newer.
# Written by tools/lock.sh; do not edit by hand. `make install` installs it.
# For torch, the CPU build is enough. Where pip would find a CUDA build, PyTorch's installation page names the index
# of the CPU builds, which pip takes from PIP_INDEX_URL or PIP_EXTRA_INDEX_URL.
HEADER
    {
        # A wheel's local version (torch's +cpu) exists on some platforms only; so do some packages.
        sed -E -e 's/\+[a-z0-9.]+$//' \
            -e 's/^hf-xet==.*/&; platform_machine in "x86_64 amd64 AMD64 arm64 ARM64 aarch64"/' \
            -e "s/^librt==.*/&; platform_python_implementation != \"PyPy\"/" <<<"$frozen"
        echo 'colorama==0.4.6; sys_platform == "win32"'
    } | LC_ALL=C sort --ignore-case
} > requirements.lock
