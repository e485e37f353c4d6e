"""Recorded readings in; the events a worker would have announced, and what they come to, out."""
