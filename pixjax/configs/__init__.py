"""Configs, one readable file an experiment: `pixjax train --config=NAME` finds them here."""
