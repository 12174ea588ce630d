"""The state directory: what is kept, where, sealed, and for how long."""
