"""What runs in the emulated Python: one script for each other runtime."""
