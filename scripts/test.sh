#!/usr/bin/env bash
# Run the test suite on every supported Python that this machine has; arguments go to pytest.
#
# The whole suite runs on 3.11; on the oldest and the newest the part that needs neither torch, nor a real LLM,
# nor what only the default environment has; on those between, of that part core and what is tested in its
# process, unless the arguments choose. The whole suite comes last, so that the output ends with its closing line.
set -euo pipefail
cd "$(dirname "$0")/.."

main=3.11
others=(3.10 3.12 3.13 3.14)

found=$(scripts/pythons | cut -d' ' -f1 | tr '\n' ' ')
has() { [[ " $found" == *" $1 "* ]]; }

missing=
for version in "${others[@]}" "$main"; do
    has "$version" || missing+="$version "
done
echo "Python found: ${found:-none}"
echo "Python not found: ${missing:-none}"
for version in "${others[@]}"; do
    has "$version" && newest=$version
done
has "$main" || echo "The tests that need torch are left out: they run on Python $main."

ran=0
failed=
for version in "${others[@]}"; do
    has "$version" || continue
    part=("$@")
    if [[ $# -eq 0 && $version != "${others[0]}" && $version != "$newest" ]]; then
        part=(tests/core tests/random tests/rules tests/testing)
    fi
    printf '\nPython %s, the torch-free part of the suite %s\n' "$version" "${part[*]}"
    status=0
    scripts/in-env "bare.py$version" pytest -n 2 -m "not torch and not llm and not extras" \
        --ignore=tests/docs --ignore=tests/knn --ignore=tests/lifecycle --ignore=tests/pareto --ignore=tests/seeds/test_routers_client.py "${part[@]}" || status=$?
    # Status 5, nothing selected, is no fault where the caller's own selection may name only torch tests.
    if [[ $status -eq 5 && $# -gt 0 ]]; then
        continue
    fi
    ran=1
    [[ $status -eq 0 ]] || failed+=" $version"
done

if has "$main"; then
    printf '\nPython %s, the whole suite\n' "$main"
    ran=1
    scripts/in-env default pytest -n 2 "$@" || failed+=" $main"
fi

if [[ $ran -eq 0 ]]; then
    echo "No test was run." >&2
    exit 1
fi
if [[ -n $failed ]]; then
    echo "The tests failed on Python$failed" >&2
    exit 1
fi
