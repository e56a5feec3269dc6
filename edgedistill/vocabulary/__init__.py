"""Vocabularies: agreement of two models, trimming, and projecting a teacher's distribution onto a smaller
vocabulary."""
