"""What is measured: schemas, the concept store, loading, prompts."""
