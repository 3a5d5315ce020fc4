#!/usr/bin/env bash
# Run the tests: scripts/test.sh quick|most|all [ARGUMENT FOR PYTEST...]
#
# quick: on Python 3.11, those that start no process, open no connection and need no torch.
# most:  on the oldest Python found, the part that needs neither torch, nor a real LLM, nor what only the default
#        environment has; then on 3.11, all but those marked "full".
# all:   that part on every Python found, then everything on 3.11.
#
# Python 3.11 comes last, so that the output ends with its closing line.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1
shift

main=3.11
others=(3.10 3.12 3.13 3.14)
cores=$(getconf _NPROCESSORS_ONLN)
marks=
[[ $what == all ]] || marks="not full"

ran=
failed=
run() { # VERSION ENVIRONMENT [ARGUMENT...]
    local version=$1 environment=$2 status=0
    shift 2
    # More workers than cores, because many tests wait for processes that they start.
    scripts/in-env "$environment" pytest -n $((cores * 3)) --dist loadgroup --no-loadscope-reorder "$@" || status=$?
    # Nothing was selected: no fault, for the caller may have named only tests that need torch.
    [[ $status -ne 5 ]] || return 0
    ran=1
    [[ $status -eq 0 ]] || failed+=" $version"
}

if [[ $what == quick ]]; then
    exec scripts/in-env default pytest -n "$cores" -m "not (processes or network or torch or slow or full)" "$@"
fi

found=$(scripts/pythons | cut -d' ' -f1 | tr '\n' ' ')
has() { [[ " $found" == *" $1 "* ]]; }
missing=
for version in "${others[@]}" "$main"; do
    has "$version" || missing+="$version "
done
echo "Python found: ${found:-none}"
echo "Python not found: ${missing:-none}"
has "$main" || echo "The tests that need torch are left out: they run on Python $main."

for version in "${others[@]}"; do
    has "$version" || continue
    printf '\nPython %s, the part without torch\n' "$version"
    run "$version" "bare.py$version" -m "${marks:+$marks and }not (torch or llm or extras)" \
        --ignore=tests/{docs,faults,knn,lifecycle,pareto,seeds/test_routers_client.py} "$@"
    [[ $what == all ]] || break
done
if has "$main"; then
    printf '\nPython %s\n' "$main"
    run "$main" default -m "$marks" "$@"
fi

if [[ -z $ran ]]; then
    echo "No test was run." >&2
    exit 1
fi
if [[ -n $failed ]]; then
    echo "The tests failed on Python$failed" >&2
    exit 1
fi
