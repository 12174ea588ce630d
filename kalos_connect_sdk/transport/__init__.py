"""The one door: every byte of a position leaves through here (R2)."""
