#!/usr/bin/env bash
# Install Safelight from this folder, without network.
#
#   ./install.sh [FOLDER]      default: /opt/safelight as root, else ~/safelight
#
# Checks every file first, installs the Debian packages that are missing (as root or with sudo), makes a virtual environment in FOLDER and
# puts the wheels into it. Nothing outside FOLDER is changed but for the Debian packages. PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -eq 0 ]; then default=/opt/safelight; else default=$HOME/safelight; fi
target=${1:-$default}

die() { echo "install: $*" >&2; exit 1; }
read -r tag machine version <"$here/made-for"
[ "$(uname -m)" = "$machine" ] || die "this bundle is for $machine, this machine is $(uname -m)"
(cd "$here" && sha256sum --quiet -c SHA256SUMS) || die "the bundle is damaged; nothing was installed"

missing=()
for file in "$here"/debian/*.deb; do
    [ -e "$file" ] || continue
    name=$(dpkg-deb -f "$file" Package)
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$file")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "install: ${#missing[@]} Debian packages" >&2
    if [ "$(id -u)" -eq 0 ]; then become=(); elif command -v sudo >/dev/null; then become=(sudo); else
        die "these packages are missing, and you are not root: $(basename -a "${missing[@]}" | tr '\n' ' ')"
    fi
    # apt puts local packages into the right order and asks no network for them
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 \
        install "${missing[@]}" >/dev/null </dev/null || die "the Debian packages could not be installed (see above); $target was not made"
fi

python=${PYTHON:-$tag}
"$python" -c 'import venv, ensurepip' 2>/dev/null || die "$python with venv is needed; set PYTHON=/path/to/$tag"
[ "$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}")')" = "$tag" ] || die "this bundle is for $tag"
"$python" -m venv --clear "$target"
pip=("$target/bin/python" -m pip --isolated --quiet --disable-pip-version-check install --no-index --find-links "$here/wheels")
"${pip[@]}" --require-hashes --no-deps -r "$here/requirements.lock"
"${pip[@]}" --no-deps "safelight==$version"
"$target/bin/safelight" --version
echo "install: done. Put $target/bin into PATH, or call $target/bin/safelight" >&2
