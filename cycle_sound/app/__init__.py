"""For people: the command line, the page in a browser, files in and out."""
