"""TaskFlow's `taskflow.engines.action_engine`: engines by TaskFlow's class names."""
