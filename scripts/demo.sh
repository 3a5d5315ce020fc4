#!/usr/bin/env bash
# Install the built wheels into a bare environment, as a user would, and route the example queries.
set -euo pipefail
cd "$(dirname "$0")/.."

printf '\nInstalling the wheels into build/demo/venv\n'
rm -rf build/demo
mkdir -p build/demo
.venv/bin/python -m venv build/demo/venv
core=$(echo dist/llmrouter_core-*.whl)
build/demo/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    "$core[plot]" dist/*.whl

PATH="$PWD/build/demo/venv/bin:$PATH"
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

cd build/demo
show llmrouter init demo
show cd demo
show llmrouter list-routers
show llmrouter infer --router randomrouter --config custom_routers/randomrouter/config.yaml \
    --query "What is machine learning?" --route-only
show llmrouter train --router thresholdrouter --config custom_routers/thresholdrouter/config.yaml
show llmrouter evaluate --router thresholdrouter --router randomrouter \
    --config custom_routers/thresholdrouter/config.yaml --config custom_routers/randomrouter/config.yaml \
    --weak qwen2.5-7b-instruct --strong mixtral-8x22b-instruct-v0.1 --plot comparison.png
show llmrouter infer --router thresholdrouter --config custom_routers/thresholdrouter/config.yaml \
    --input data/example_data/query_data/default_query_test.jsonl --route-only

printf '\nThe picture: build/demo/demo/comparison.png\nTo go on: . build/demo/venv/bin/activate && cd build/demo/demo\n'
