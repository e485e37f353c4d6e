"""The Faust agents: one file an agent."""
