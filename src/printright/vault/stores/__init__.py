"""Stores: `local` is a folder; `http` is another node's, and serves a local one. Imported where they are used."""
