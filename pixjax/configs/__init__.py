"""One readable file an experiment; `pixjax train --config=NAME` finds them here, a checkout also as
`configs/NAME.py`.
"""
