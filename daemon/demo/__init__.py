"""The demonstration: what happens in it, how it is shown, and whether the books agree."""
