"""The cost bench: whole models of whit and of other runtimes on emulated ARM cores, side by side. See docs/ARM.md."""
