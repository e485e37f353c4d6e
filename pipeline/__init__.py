"""smart-iot: sensor readings in on Kafka, alerts out to whoever watches."""
