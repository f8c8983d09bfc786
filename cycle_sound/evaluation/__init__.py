"""How good the models are: metrics with floors, ceilings and intervals; what they made."""
