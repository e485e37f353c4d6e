"""Batches of what the topics say in, a database that holds each once out: one client a file."""
