"""A worker in; every call that its event loop made, by the clock and by the processor time it took,
out. The worker's own histogram says that something held the loop; this says whether it was a call
of ours, which has to be shorter than 50 ms, or a wait for a processor or for another thread."""
