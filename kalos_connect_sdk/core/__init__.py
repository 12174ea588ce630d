"""The rules: pure, total, and the only place where yes and no are decided."""
