"""Language models as judges: how they are asked, and how planted controls show their errors."""
