"""The report: one page of figures, curves and samples."""
