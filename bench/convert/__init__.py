"""Writers of other runtimes' files: the same network for every contender, without their converters."""
