"""Inputs and outputs of each step without its code: `Settings`, `Inputs` and `KIND`, one step per module.

A plan imports these and nothing of `steps/` itself.
"""
