"""Linear probes of concepts, with splits by word type, control labels and intervals."""
