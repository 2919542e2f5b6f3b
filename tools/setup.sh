#!/usr/bin/env bash
# Set up what a target of the Makefile needs, and nothing twice: Debian packages, .venv with locked packages, the C kernels, the page.
#
#   tools/setup.sh run     to use Safelight (make demo, make bundle)
#   tools/setup.sh test    to test and check it too (make test, make check, make bench)
#
# PYTHON=/path/to/python chooses the interpreter (3.11 or newer) of a new .venv. Logs lie in .make/. Two calls at a time wait for
# one another. Nothing is said when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-run}

runtime=(bubblewrap libarchive13 libmagic1 libjpeg62-turbo util-linux)
build=(gcc libc6-dev libjpeg62-turbo-dev)
demo=(e2fsprogs dosfstools mtools ewf-tools)
testing=(g++ sleuthkit qemu-utils ewf-tools libimage-exiftool-perl dosfstools mtools ntfs-3g exfatprogs exfat-fuse xfsprogs e2fsprogs
    genisoimage xorriso xz-utils zip unzip p7zip-full squashfs-tools hashdeep attr libvshadow-utils chromium poppler-utils clang clang-format libclang-rt-dev
    fdisk gdisk unar btrfs-progs f2fs-tools cimg-dev)

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
say() { printf 'setup: %s\n' "$*" >&2; }

run_as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo "$@"
    else return 97; fi
}

installed() { # names → those that are installed
    { dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^installed //p'
}

missing_of() {
    local have; have=" $(installed "$@" | tr '\n' ' ')"
    for name in "$@"; do [[ "$have" == *" $name "* ]] || echo "$name"; done
}

debian() { # install those of the named Debian packages that are not there
    command -v dpkg-query >/dev/null || { say "this is no Debian; these packages are needed: $*"; return 0; }
    local missing; mapfile -t missing < <(missing_of "$@" | sort -u)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ -f .make/not-in-debian ]; then # what an earlier call looked for in vain is not looked for again
        mapfile -t missing < <(printf '%s\n' "${missing[@]}" | grep -vxFf .make/not-in-debian || true)
        [ ${#missing[@]} -gt 0 ] || return 0
    fi
    say "installing Debian packages: ${missing[*]}"
    local root=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300) code=0
    run_as_root "${root[@]}" update >.make/apt.log 2>&1 || code=$?
    [ $code -ne 97 ] || die "these Debian packages are missing, and you are neither root nor allowed to sudo. Ask for:
    apt-get install --no-install-recommends ${missing[*]}"
    local there=() absent=() name
    for name in "${missing[@]}"; do
        if apt-cache show "$name" >/dev/null 2>&1; then there+=("$name"); else absent+=("$name"); fi
    done
    if [ ${#absent[@]} -gt 0 ]; then
        [ $code -eq 0 ] || { tail -3 .make/apt.log >&2; die "apt-get update failed (no network?); it is in .make/apt.log"; }
        say "not in this release of Debian: ${absent[*]}; what needs them is skipped"
        printf '%s\n' "${absent[@]}" >>.make/not-in-debian
    fi
    [ ${#there[@]} -gt 0 ] || return 0
    run_as_root "${root[@]}" install -y --no-install-recommends "${there[@]}" >>.make/apt.log 2>&1 </dev/null ||
        { tail -5 .make/apt.log >&2; die "apt-get install failed (no network?); all of it is in .make/apt.log"; }
}

good_python() { # is this an interpreter that can make the environment and build the kernels?
    command -v "$1" >/dev/null 2>&1 && "$1" - >/dev/null 2>&1 <<'PY'
import ensurepip, os, sys, sysconfig, venv
assert sys.version_info >= (3, 11)
assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
PY
}

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if good_python "$name"; then "$name" -c 'import sys; print(sys.executable)'; return; fi
    done
    return 1
}

environment() { # make .venv, unless there is one with a good Python
    if .venv/bin/python -c 'import sys, pip; assert sys.version_info >= (3, 11)' 2>/dev/null; then return; fi
    local python
    if ! python=$(find_python); then
        [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is no Python 3.11 or newer with venv, ensurepip and its headers"
        debian python3 python3-venv python3-dev
        python=$(find_python) || die "no Python 3.11 or newer with venv and headers was found; set PYTHON=/path/to/python"
    fi
    say "making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
    rm -f .make/packages .make/kernels .make/npm
}

changed() { # stamp file, files…: true when the files are not those of the stamp
    local stamp=$1; shift
    [ "$(cat "$stamp" 2>/dev/null)" != "$(cat "$@" | sha256sum)" ]
}

packages() { # lock file → installed
    changed .make/packages "$1" || return 0
    # the larger lock holds all of the smaller one
    if [ "$1" = requirements.lock ] && ! changed .make/packages requirements-dev.lock && ! changed .make/runtime requirements.lock; then return; fi
    say "installing the Python packages of $1"
    .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r "$1" >.make/pip.log 2>&1 ||
        { grep -m1 'connection broken' .make/pip.log >&2 || true; grep -v WARNING .make/pip.log | tail -5 >&2 || true; die "the Python packages could not be installed (no network?); all of it is in .make/pip.log"; }
    sha256sum <"$1" >.make/packages
    sha256sum <requirements.lock >.make/runtime
}

kernels() { # build what is written in C and make the command
    local inputs=(pyproject.toml setup.py src/safelight/__init__.py src/safelight/native/*.[ch])
    if ! changed .make/kernels "${inputs[@]}" && [ -x .venv/bin/safelight ] && compgen -G 'src/safelight/native/_pdq*.so' >/dev/null; then return; fi
    say "building the kernels"
    .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-deps --no-build-isolation -e . >.make/build.log 2>&1 ||
        { tail -20 .make/build.log >&2; die "the kernels could not be built; all of it is in .make/build.log"; }
    .venv/bin/python -c 'from safelight.native import _digestset, _hamming, _hexcolumns, _jpeg, _pdq, _rows' || die "the kernels do not load"
    cat "${inputs[@]}" | sha256sum >.make/kernels
}

page() { # build the review page into src/safelight/review/page/, with a Node of .venv: that of Debian is too old
    local inputs; mapfile -t inputs < <(find web/src web/index.html web/vite.config.ts web/package-lock.json tools/web.sh -type f | LC_ALL=C sort)
    local built=1
    if changed .make/page "${inputs[@]}" || [ ! -f src/safelight/review/page/index.html ]; then built=0; fi
    # to test it, its tools must be there too
    if [ $built -eq 1 ] && { [ "$mode" = run ] || { [ -d web/node_modules ] && ! changed .make/npm web/package-lock.json requirements-web.lock; }; }; then return; fi
    if changed .make/npm web/package-lock.json requirements-web.lock || [ ! -d web/node_modules ]; then
        say "installing Node and the tools of the page"
        .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r requirements-web.lock >.make/pip-web.log 2>&1 ||
            { grep -v WARNING .make/pip-web.log | tail -5 >&2 || true; die "Node could not be installed (no network?); all of it is in .make/pip-web.log"; }
        tools/web.sh npm ci --ignore-scripts --no-audit --no-fund >.make/npm.log 2>&1 ||
            { tail -5 .make/npm.log >&2; die "the tools of the page could not be installed (no network?); all of it is in .make/npm.log"; }
        cat web/package-lock.json requirements-web.lock | sha256sum >.make/npm
    fi
    [ $built -eq 0 ] || return 0
    say "building the page"
    tools/web.sh vite build >.make/page.log 2>&1 || { tail -20 .make/page.log >&2; die "the page could not be built; all of it is in .make/page.log"; }
    cat "${inputs[@]}" | sha256sum >.make/page
}

mkdir -p .make
exec 9>.make/lock
flock 9
case $mode in
    run) debian "${runtime[@]}" "${build[@]}" "${demo[@]}"; lock=requirements.lock ;;
    test) debian "${runtime[@]}" "${build[@]}" "${demo[@]}" "${testing[@]}"; lock=requirements-dev.lock ;;
    *) die "say run or test" ;;
esac
environment
packages "$lock"
kernels
page
# Workers see the package read only and cannot keep byte code: without it each start compiles what it imports.
.venv/bin/python -m compileall -q src/safelight
