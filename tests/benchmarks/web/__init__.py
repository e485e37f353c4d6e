"""How soon viewers have an alert, and what that takes: ours, the user's own design, and polling.

    make bench-web                          all of it, each scene three times
    make bench-web BENCH_ARGS=--quick       in four minutes
    make bench-web BENCH_ARGS='--parts compared --only ours,channels --viewers 100,1000'

Four parts. *Many*: 10,000 viewers of one process (`smart-iot web`), an alert every second, from
its acknowledgement by Kafka to the first, the median and the last viewer. *Worker*: a worker has
1 to 10,000 viewers of its own, and readings set off ten alerts a second. *Stream*: 100 events a
second to 1,000 viewers for a minute; each is looked for at each viewer. *Compared*: an alert every
2 s to 1, 10, 100 and 1,000 viewers of ours, of the design in the user's document (Django Channels,
channels-redis, Daphne; one process, as there) with either of the two channel layers, and of pages
that poll every 5 s, Django as it is in that document and ours. Here the clock starts as the event
is sent, for all alike, since the acknowledgement of one isn't that of another.

What is the same. Each turn has a server, topics and a Redis of its own. Its first viewer comes and
goes before memory is looked at, and its first event isn't counted. Memory is PSS, without viewers
and after all events. Processor time is the server's, from the first event to one gap after the
last, and its broker's (Kafka or Redis) is told beside it; pings and polls are part of it. Who
hasn't got an event 10 s after it was sent has missed it. Ours sends its whole event of 700 bytes,
Channels the 250 of the document's.

A loop is held while nothing else gets its turn. Ours tells in `/metrics` by how much a look that
is due every 20 ms is late; what is shown is the upper edge of the last bucket that got any. A hold
that begins between two looks is seen with up to 20 ms less than it has.

The client is one process with one loop over epoll. It writes the upgrade by hand, searches the
bytes for the number of an event, and answers pings. What it and the kernel take by themselves is
the *floor*: a server that only writes, on uvloop. Below that nothing can be measured here; all run
on the same cores, so the client's own time slows down whom it watches.
"""
