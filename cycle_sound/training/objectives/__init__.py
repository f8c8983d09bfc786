"""What each model is trained for."""
