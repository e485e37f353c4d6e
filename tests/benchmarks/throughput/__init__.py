"""Readings a second of a whole worker, ours beside others on the same job and the same broker.

    make bench-quick     ours, naive Faust and the bare loop, in less than five minutes
    make bench           all of them, each three times
    make bench BENCH_ARGS='--only ours-compiled,quix --devices 1000 --workers 2 --rounds 5'

The job. One Apache Kafka, on loopback, with one topic of four partitions that `generator` fills
once, before all else. A contestant reads it from its beginning, in a group of its own: decodes each
reading, keeps of its device when it was last seen, the newest values and, in the window of five
minutes, count, mean, min and max of each metric, judges it by the default thresholds with their
clear lines, and sends what fires and resolves to an alerts topic of its own. Ours, run as users run
it, does more: offline detection, sensor faults, clocks, `alerts-open`, a web view. No window closes
in the first six million readings of 100,000 devices; from then on ours sends those too.

What is measured. A reading counts once its offset is committed by the contestant's group, which is
asked from outside every 50 ms: so when it wouldn't be read again. The clock starts with the first
commit after the warm-up (four readings a device, two in a quick run, so that start, new devices and
just-in-time compilers are no part of it; 2,000 for those too slow for that), and stops with the
first one a while, and four commits at least, later: some commit every second, some every five.
Until then the topic has more, so nobody idles, and what is processed but not committed yet is about
the same at both ends. Processor time (user and system, children too) is taken at the same two
moments; the broker's isn't counted, though it runs on the same machine. Before each turn the state,
the topics and the group of the contestant are deleted; turns go round.
"""
