// Readings in, alerts out, with Kafka Streams: one processor, a row a device in RocksDB with its
// changelog, behind the cache that an aggregation has too (here with room for all of the rows).
// Jackson decodes; a row is packed by hand. At least once; a commit every 5 s, not 30, since a
// turn is shorter than that; a thread a core.

import static java.util.Map.entry;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams.State;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class KafkaStreams {
    static final double WINDOW = 300;
    static final int FIELDS = 6; // of a window: start, count, total, low, high, last
    static final List<String> METRICS = List.of("temperature", "humidity", "battery");
    static final ObjectMapper JSON = new ObjectMapper();

    record Line(String severity, double fires, double clears) {}

    record Rule(String name, int metric, int sign, List<Line> lines) {}

    static final List<Rule> RULES = List.of(
        new Rule("temperature-high", 0, 1, List.of(new Line("danger", 35, 33))),
        new Rule("temperature-low", 0, -1, List.of(new Line("warning", 10, 12))),
        new Rule("humidity-high", 1, 1, List.of(new Line("warning", 80, 75))),
        new Rule("humidity-low", 1, -1, List.of(new Line("warning", 20, 25))),
        new Rule("battery", 2, -1, List.of(new Line("warning", 20, 25), new Line("danger", 5, 8))));

    static final class Reading {
        String deviceId;
        Instant time;
        final double[] values = new double[METRICS.size()];

        static Reading of(byte[] json) throws IOException {
            var reading = new Reading();
            try (JsonParser parser = JSON.createParser(json)) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    switch (name) {
                        case "device_id" -> reading.deviceId = parser.getText();
                        case "timestamp" -> reading.time = Instant.parse(parser.getText());
                        default -> reading.values[METRICS.indexOf(name)] = parser.getDoubleValue();
                    }
                }
            }
            return reading;
        }
    }

    /** When it was last seen, a window for each metric, and for each rule its line (-1: none). */
    static final class Device {
        static final int BYTES = 8 + 8 * FIELDS * METRICS.size() + RULES.size();
        double lastSeen;
        final double[] windows = new double[FIELDS * METRICS.size()];
        final byte[] lines = new byte[RULES.size()];

        static Device of(byte[] packed) {
            var device = new Device();
            if (packed == null) {
                java.util.Arrays.fill(device.lines, (byte) -1);
                return device;
            }
            var buffer = ByteBuffer.wrap(packed);
            device.lastSeen = buffer.getDouble();
            for (int i = 0; i < device.windows.length; i++) {
                device.windows[i] = buffer.getDouble();
            }
            buffer.get(device.lines);
            return device;
        }

        byte[] packed() {
            var buffer = ByteBuffer.allocate(BYTES).putDouble(lastSeen);
            for (double value : windows) {
                buffer.putDouble(value);
            }
            return buffer.put(lines).array();
        }

        void add(int metric, double start, double value) {
            int at = metric * FIELDS;
            windows[at + 5] = value;
            if (windows[at] != start) {
                windows[at] = start;
                windows[at + 1] = 1;
                windows[at + 2] = windows[at + 3] = windows[at + 4] = value;
                return;
            }
            windows[at + 1]++;
            windows[at + 2] += value;
            windows[at + 3] = Math.min(windows[at + 3], value);
            windows[at + 4] = Math.max(windows[at + 4], value);
        }
    }

    static final class Detection implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> devices;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            devices = context.getStateStore("devices");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                Reading reading = Reading.of(record.value());
                Device device = Device.of(devices.get(record.key()));
                device.lastSeen = reading.time.toEpochMilli() / 1e3;
                double start = device.lastSeen - device.lastSeen % WINDOW;
                for (int metric = 0; metric < METRICS.size(); metric++) {
                    device.add(metric, start, reading.values[metric]);
                }
                for (int rule = 0; rule < RULES.size(); rule++) {
                    judge(record, reading, device, rule);
                }
                devices.put(record.key(), device.packed());
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private void judge(Record<byte[], byte[]> record, Reading reading, Device device, int number)
                throws IOException {
            Rule rule = RULES.get(number);
            double value = reading.values[rule.metric()];
            int before = device.lines[number];
            int after = line(rule, value, before);
            if (after == before) {
                return;
            }
            device.lines[number] = (byte) after;
            Map<String, Object> alert = new LinkedHashMap<>();
            alert.put("device_id", reading.deviceId);
            alert.put("rule", rule.name());
            alert.put("event", before < 0 ? "fired" : after < 0 ? "resolved" : "updated");
            alert.put("severity", rule.lines().get(after < 0 ? before : after).severity());
            alert.put("metric", METRICS.get(rule.metric()));
            alert.put("value", value);
            alert.put("timestamp", reading.time.toString());
            context.forward(record.withValue(JSON.writeValueAsBytes(alert)));
        }

        private static int line(Rule rule, double value, int before) {
            for (int number = rule.lines().size() - 1; number >= 0; number--) {
                Line line = rule.lines().get(number);
                boolean was = number <= before;
                double beyond = (value - (was ? line.clears() : line.fires())) * rule.sign();
                if (beyond > 0 || (beyond == 0 && was)) {
                    return number;
                }
            }
            return -1;
        }
    }

    public static void main(String[] arguments) {
        Map<String, String> place = System.getenv();
        String prefix = place.get("BENCH_PREFIX");
        var bytes = Serdes.ByteArray();
        var topology = new Topology()
            .addSource("readings", bytes.deserializer(), bytes.deserializer(), place.get("BENCH_TOPIC"))
            .addProcessor("detection", Detection::new, "readings")
            .addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("devices"), bytes, bytes)
                    .withCachingEnabled(),
                "detection")
            .addSink("alerts", prefix + "alerts", bytes.serializer(), bytes.serializer(), "detection");
        var settings = new Properties();
        settings.putAll(Map.ofEntries(
            entry(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "group"),
            entry(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, place.get("BENCH_BOOTSTRAP")),
            entry(StreamsConfig.STATE_DIR_CONFIG, place.get("BENCH_FOLDER")),
            entry(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 5_000),
            entry(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20),
            entry(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors()),
            entry("auto.offset.reset", "earliest")));
        var streams = new org.apache.kafka.streams.KafkaStreams(topology, settings);
        streams.setStateListener((now, before) -> {
            if (now == State.ERROR) {
                Runtime.getRuntime().halt(1);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }
}
