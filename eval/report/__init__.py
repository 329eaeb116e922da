"""The report on results: an HTML page that opens without a network, and the same as Markdown."""
