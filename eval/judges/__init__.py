"""Language models as judges: how they are asked, and what planted controls show of their worth."""
