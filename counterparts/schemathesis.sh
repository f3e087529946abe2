#!/bin/sh
# Asks a running exchange everything its OpenAPI document allows, and much that it does not.
#
#   counterparts/schemathesis.sh http://127.0.0.1:8470 ioc_…     an admin token, of an exchange that may be filled with
#                                                                nonsense and is thrown away afterwards
#
# Needs schemathesis 4.32.5 (PyPI) as `st`; ST names another. Bounded by examples and time, and seeded, so that a failure
# can be repeated. Fails on a server error, an answer that is not as documented, a wrong request that is taken, and a
# right one that is refused.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
# It leaves caches where it runs.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
IOCAST_TOKEN="$2" "${ST:-st}" --config-file "$here/schemathesis.toml" run "$1/api/v1/openapi.json" \
    --phases examples,coverage,fuzzing --seed "${SEED:-1}" --max-examples "${EXAMPLES:-12}" --max-time "${SECS:-75}" \
    --generation-database none --no-shrink
