"""The bench of the compression toolbox: trains, compresses, measures, and prints one table."""
