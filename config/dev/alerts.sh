#!/usr/bin/env bash
# `make test-alerts`: checks the Prometheus configuration and runs the tests of its rules; takes some seconds.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo/config/observability"

promtool="$(bash "$repo/config/dev/prometheus.sh")/promtool"
"$promtool" check config --lint-fatal prometheus.yml >&2
"$promtool" test rules tests/*.yml >&2
