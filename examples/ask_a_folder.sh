#!/usr/bin/env bash
# Ask a folder of mixed documents from the command line. The first question indexes the folder, the next ones find the index.
set -euo pipefail
cd "$(dirname "$0")"

rag ask "What is the limit for a hotel night in a capital?" --source handbook
rag ask "How long is the probation period?" --source handbook --explain
rag search "lost laptop" --source handbook -k 3
rag ask "Who pays for glasses?" --source handbook --json | grep '"answer"'
