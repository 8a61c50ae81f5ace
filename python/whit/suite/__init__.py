"""Networks and layers of random weights, run on this machine: the part of the bench that needs nothing else."""
