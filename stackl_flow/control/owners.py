"""Whether the process that owns a flow is still at work on it.

An engine signs with "machine:process:engine". Only a process of this machine can be looked for; of another
machine's nothing is known here, and taking its flow over is safe in any case: what it writes afterwards is
refused.
"""

import os
import socket

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.control.views import FlowSummary

_AT_WORK = frozenset({states.RUNNING, states.SUSPENDING, states.RESUMING})
_SIGNED_PARTS = 3


def check_free(flow: FlowSummary) -> None:
    """Refuse a flow that a living process of this machine is at work on.

    Args:
        flow: the flow, as it is stored.

    Raises:
        OwnershipLost: its owner is another process of this machine, and alive.
    """
    if flow.state not in _AT_WORK or flow.owner is None:
        return
    parts = flow.owner.rsplit(":", _SIGNED_PARTS - 1)
    if len(parts) != _SIGNED_PARTS or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return
    process = int(parts[1])
    if process != os.getpid() and _alive(process):
        raise exc.OwnershipLost(
            f"flow '{flow.name}' ({flow.uuid}) is {flow.state} in process {process} of this machine: "
            f"let it end, stop it, or take the flow over with --force"
        )


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is there, and somebody else's.
        return True
    return True
