"""Recorded readings in; the events that a worker would have announced, and what they come to, out."""
