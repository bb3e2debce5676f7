#!/usr/bin/env bash
# How good is the pipeline on your own questions, and which stage decides? Run in this folder.
set -euo pipefail

rag ingest -q -p handbook.yaml

# The pipeline against two variations, on eight questions: what is found, answered, cited, and left unanswered.
rag eval handbook.yaml handbook-questions.jsonl -q \
  --metrics ndcg,span-recall,contains,cited-doc-recall,abstention-f1 \
  --vary 'plain:ask.rerank=[]' --vary 'mmr:ask.rerank=[{use: mmr, keep: 6}]' --out report.html

# One question, each stage left out in turn.
rag explain -p handbook.yaml "How long is paid parental leave?"
