"""The prototypes task: a classifier that explains itself by prototypes, and whether its explanations are true."""
