"""What weights and activations of fewer than 8 bits bring."""
