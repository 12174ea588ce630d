"""Sealing and signing over bytes; the only importer of ``cryptography``."""
