"""The machine: compiles a flow, decides what runs next, has it run and remembers what happened."""
