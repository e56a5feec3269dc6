"""Vocabularies: whether two models share one, making one smaller, and a teacher's distribution over a smaller one."""
