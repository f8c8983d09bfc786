"""Each direction learns from what the opposite one draws for real targets without partners, in rounds."""
