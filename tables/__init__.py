"""The tables: typed access to the state of the devices."""
