"""A worker: performs the calls that it reads, one on each line, and writes their reports."""

import sys

from stackl_flow.engines.executors.wire import Receiver


def write(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    receiver = Receiver(["tests.*"], is_remote=True)
    for line in sys.stdin:
        receiver.perform(line, write)


if __name__ == "__main__":
    main()
