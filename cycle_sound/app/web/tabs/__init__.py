"""The tabs of the page, each with what its button makes."""
