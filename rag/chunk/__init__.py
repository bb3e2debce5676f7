"""Cuts documents into chunks with exact offsets."""
