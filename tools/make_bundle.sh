#!/usr/bin/env bash
# Make a folder that installs Safelight on a machine without network: `make bundle`.
#
# It holds the wheels of all locked packages, our own wheel, the Debian packages with what they need, and install.sh. It fits machines
# of this release of Debian, this processor and this version of Python.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "bundle: $*" >&2; exit 1; }
python=.venv/bin/python
version=$($python -c 'import safelight; print(safelight.__version__)')
machine=$(uname -m)
tag=$($python -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}")')
bundle=dist/safelight-$version-$tag-$machine
rm -rf "$bundle" "$bundle.tar"
mkdir -p "$bundle/wheels" "$bundle/debian"

echo "bundle: wheels of requirements.lock" >&2
$python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
    -r requirements.lock -d "$bundle/wheels" >.make/bundle.log 2>&1 ||
    { grep -v WARNING .make/bundle.log | tail -5 >&2; die "the wheels could not be fetched (no network?); all of it is in .make/bundle.log"; }
echo "bundle: wheel of Safelight" >&2
$python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$bundle/wheels" . >.make/bundle.log 2>&1 ||
    { tail -20 .make/bundle.log >&2; die "the wheel could not be built"; }

if command -v apt-get >/dev/null; then
    echo "bundle: Debian packages" >&2
    wanted=(bubblewrap libarchive13 libmagic1 libjpeg62-turbo util-linux)
    [ "$($python -c 'import sys; print(sys.base_prefix)')" = /usr ] && wanted+=(python3 python3-venv)
    # all that they need on a machine that has nothing, as apt resolves it, but for what every Debian has
    required=$(dpkg-query -W -f='${Priority} ${Essential} ${Package}\n' | awk '$1 == "required" || $2 == "yes" {print $NF}')
    mapfile -t names < <(apt-get -s -q -o Dir::State::status=/dev/null --no-install-recommends install "${wanted[@]}" 2>.make/bundle.log |
        awk '$1 == "Inst" {print $2}' | sort -u | grep -vxF "$required")
    [ ${#names[@]} -gt 4 ] || { tail -3 .make/bundle.log >&2; die "apt does not know the packages; run apt-get update first"; }
    here=$PWD
    (cd "$bundle/debian" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "${names[@]}") >.make/bundle.log 2>&1 ||
        { tail -3 "$here/.make/bundle.log" >&2; die "the Debian packages could not be fetched; run apt-get update first"; }
fi

cp requirements.lock LICENSE NOTICE "$bundle"
cp docs/guide/install.md "$bundle/README.md"
cp tools/install.sh "$bundle/install.sh"
echo "$tag $machine $version" >"$bundle/made-for"
(cd "$bundle" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
tar -C dist -cf "$bundle.tar" "$(basename "$bundle")"
echo "bundle: $bundle.tar, $(du -m "$bundle.tar" | cut -f1) MB, SHA-256 $(sha256sum <"$bundle.tar" | cut -d' ' -f1)" >&2
