"""From a source of clips to checked pairs on disk and a manifest of every clip's fate."""
