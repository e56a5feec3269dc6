"""What each step takes and gives, without its code: `Settings`, `Inputs` and `KIND`, one step a module.

A plan imports these and nothing of `steps/` itself.
"""
