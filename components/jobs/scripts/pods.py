"""Why a pod does not work, in one line and the last it wrote."""

LINES = 15
"""Of what a container wrote last, told with its failure."""


def why(pod):
    """What a pod waits for or how it failed; "" where nothing is wrong.

    The last lines of a container that failed stand in its pod's status (terminationMessagePolicy
    FallbackToLogsOnError), so that nobody needs the right to read logs.
    """
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _joined(condition.get("reason"), condition.get("message"))
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state = each.get("state", {})
        waiting = state.get("waiting", {})
        ended = state.get("terminated") or each.get("lastState", {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = "\n".join((ended.get("message") or "").strip().splitlines()[-LINES:])
            how = f"container {each['name']}: {ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
            return f"{how}; last lines:\n{said}" if said else how
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f"container {each['name']}: {_joined(waiting.get('reason'), waiting.get('message'))}"
        if "running" in state and each.get("ready") is False and each.get("started") is not True:
            return f"container {each['name']} runs, but has not become ready"
    return _joined(status.get("reason"), status.get("message"))


def newest(pods):
    """The pod made last; None without any."""
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def _joined(*parts):
    return ": ".join(filter(None, parts))
