"""Before a run: what it would need (`pixjax estimate`), and what this machine can do (`pixjax doctor`)."""
