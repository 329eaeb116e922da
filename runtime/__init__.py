"""The ground floor: errors, progress, files, the journal, models and LLM clients."""
