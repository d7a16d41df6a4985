"""What runs in the background: from messages to facts. Consumers never import each other."""
