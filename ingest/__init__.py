"""Stripe to Kafka: verifies, chooses, redacts, publishes. Never sees entitlements or a database."""
