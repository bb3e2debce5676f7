"""Reuse of keys and values of chunks that a transformers model has read before; token ids in, no text, no stages.

A prompt is a shared prefix, then segments: chunks that may come from a store, and pieces that are always computed.
A chunk's keys are moved to their place by an exact rotation, and a policy says which of its tokens are computed again.

Importing this package loads nothing; its modules import torch and transformers.
"""
