"""What operators use: the command line, the settings, the stack. The only place that reads the environment."""
