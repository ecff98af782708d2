#!/usr/bin/env bash
# Installs the database servers that tests/interop uses, from Debian's packages. If they cannot be installed, the tests
# that need them are skipped with that reason; this script never fails.
set -uo pipefail

if command -v redis-server >/dev/null && compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "redis-server and PostgreSQL are not installed, and this account cannot install them: their tests are skipped"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# The packages start their own servers; the tests start private ones.
export RUNLEVEL=1
{ apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends redis-server postgresql; } >/dev/null 2>&1 \
    || echo "redis-server and PostgreSQL could not be installed: their tests are skipped"
exit 0
