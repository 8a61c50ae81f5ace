"""Writers of other runtimes' files: the same quantised network for every contender, without their converters."""
