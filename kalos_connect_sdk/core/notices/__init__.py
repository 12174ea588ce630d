"""The notices that ship with the SDK, and how what was shown is pinned in a grant (R14)."""
