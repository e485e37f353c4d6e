"""What the product promises, proved with real workers on a real Apache Kafka."""
