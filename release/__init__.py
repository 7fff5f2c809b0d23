"""What is checked before a release: `python -m release` runs it, docs/releasing.md explains it."""
