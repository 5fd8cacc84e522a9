"""TaskFlow's `taskflow.engines.action_engine`: engines under TaskFlow's class names."""
