"""One request for samples, from flags or a page to canvases and files."""
