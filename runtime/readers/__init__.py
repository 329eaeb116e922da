"""Reading what language models say: a reader gives what a text says, or nothing, and never invents an answer."""
