#!/usr/bin/env bash
# Build the C kernels with clang's address and undefined-behaviour sanitizers and run their tests: `make sanitize`.
#
# The build goes to a copy of the source in .make/sanitize, so that the kernels in use stay as they are. Tests that start the sandbox are
# left out: a worker has an empty environment, and the sanitizer must be loaded before anything else. So are those that limit the address
# space, of which the sanitizer takes terabytes; damaged JPEGs come from tools/damage_jpegs.py instead.
set -euo pipefail
cd "$(dirname "$0")/.."

library=$(clang -print-file-name="libclang_rt.asan-$(uname -m).so")
[ -f "$library" ] || { echo "sanitize: clang's runtime is missing: install libclang-rt-dev" >&2; exit 1; }
place=.make/sanitize
rm -rf "$place"
mkdir -p "$place"
cp -r src setup.py pyproject.toml README.md LICENSE "$place"
find "$place" -name '*.so' -delete
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
(cd "$place" && CC=clang LDSHARED="clang -shared -shared-libasan" CFLAGS="$flags -shared-libasan" LDFLAGS="$flags -shared-libasan" \
    "$OLDPWD/.venv/bin/python" setup.py -q build_ext --inplace) >.make/sanitize.log 2>&1 ||
    { tail -20 .make/sanitize.log >&2; exit 1; }

export PYTHONPATH="$PWD/$place/src" PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
preload="$library"
LD_PRELOAD=$preload .venv/bin/python -c 'from safelight.native import _pdq; assert "sanitize" in _pdq.__file__, _pdq.__file__'
LD_PRELOAD=$preload .venv/bin/python tools/damage_jpegs.py
tests=(tests/unit/test_features.py tests/unit/test_panels.py tests/unit/test_pdq_kernel.py tests/unit/test_pictures.py tests/unit/test_match.py
    tests/unit/test_stacks.py tests/unit/test_three_digests.py tests/unit/test_pdq_forms.py tests/oracles/test_match_kernels.py
    tests/oracles/test_rows_kernel.py tests/oracles/test_hashsets_blocks.py tests/oracles/test_pdq_bands.py tests/unit/test_pdq_index.py
    tests/oracles/test_pictures_pdqhash.py)
LD_PRELOAD=$preload .venv/bin/python -m pytest -p no:faulthandler "${tests[@]}" "$@"
