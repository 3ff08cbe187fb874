"""Sharing avatars, weights and styles: packed with a model card and hashes, fetched and verified (docs/sharing.md)."""
