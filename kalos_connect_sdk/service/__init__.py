"""The reference Connect service, for development and tests."""
