"""Planning before a run: its needs (`pixjax estimate`), and the fitness of this machine (`pixjax doctor`)."""
