#!/usr/bin/env bash
# Write requirements.lock, -dev.lock and -web.lock anew from pyproject.toml and the .in files: `make lock`.
#
# One version of each package for all supported Pythons, with the digests of all its files, so that the same lock serves x86_64 and
# aarch64. The files name packages and digests only, never where they came from. Pins that still fit are kept; `UPGRADE=1` renews them.
set -euo pipefail
cd "$(dirname "$0")/.."

uv_version=0.9.0
tools=.make/lock-tools
if ! "$tools/bin/uv" --version >/dev/null 2>&1; then
    "${PYTHON:-python3}" -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet "uv>=$uv_version"
fi
export SSL_CERT_FILE=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
options=(--quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock")
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)

"$tools/bin/uv" pip compile "${options[@]}" pyproject.toml requirements-build.in -o requirements.lock
"$tools/bin/uv" pip compile "${options[@]}" pyproject.toml requirements-build.in requirements-dev.in -c requirements.lock -o requirements-dev.lock
"$tools/bin/uv" pip compile "${options[@]}" requirements-web.in -o requirements-web.lock
if grep -nE '://|--(index|extra|find)' requirements.lock requirements-dev.lock requirements-web.lock; then
    echo "lock: a lock file names a package host; see above" >&2
    exit 1
fi
grep -c '==' requirements.lock requirements-dev.lock requirements-web.lock
