"""Making the dataset: corpus, vectors, clustering, annotation, the build and its report."""
