"""Rankings of neurons by concept (Probeless and others), and what can be measured of them."""
