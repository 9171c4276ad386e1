"""The failures, each named by the boundary that it crossed. Everything else propagates as the bug it is.

    Failure
    +-- InvalidInput        the user's files or arguments; nothing was started (exit status 2)
    +-- RunMismatch         a run folder that was begun with other settings or input (exit status 2)
    +-- RunLocked           another controller holds the run (exit status 2)
    +-- PreflightFailed     models, tokenizers or heads that do not fit together (exit status 1)
    +-- StrategyFailed      a strategy of the user's own broke on one problem, which ends as failed
    +-- FailedAlike         the first problems of a run all failed for one reason (exit status 1)
    +-- NothingToCompare    runs that have no problem in common with a verdict (exit status 1)
    +-- TrainingFailed      a calibration cannot go on: no loss, no checkpoint, a full device (exit status 1)
    +-- Fenced              a newer epoch has taken the run over; this controller stops
    +-- StoreFailed         the store refused or lost a write
    |   +-- Damaged             what the store holds is no run, or not whole; InvalidInput too, asking again is no use
    +-- ActorDied           the run's controller or writer is gone; the driver begins again from what is written
    +-- ClusterFailed       a Ray cluster cannot be reached, or does not do what it was asked (exit status 1)
    |   +-- HeadLost            the cluster's head has gone while we were in it
    +-- ReplicaFailed       one call to one replica
        +-- ReplicaDied         the replica's process is gone, or answers no more
        +-- StaleEpoch          the replica serves a newer epoch than the caller's
        +-- StaleIncarnation    the replica has been restarted since the caller last spoke to it
        +-- QueueFull           the replica holds as many calls as it accepts
        +-- NodeUnfit           the replica's node lacks the model, or has another version of this package
        +-- NoNode              no node had room for the replica in time

Each takes one positional message, because an exception that does not survive pickling reaches the other side of a Ray
call as something else. A test pickles every one.
"""


class Failure(Exception):
    """Something that went wrong at a boundary and has a name."""


class InvalidInput(Failure):
    """The user's files or arguments; the message says where and what to do."""


class RunMismatch(Failure):
    """The run folder was begun with a recipe or input that decides results otherwise."""


class RunLocked(Failure):
    """Another controller holds the run and its heartbeat is fresh."""


class PreflightFailed(Failure):
    """Model, tokenizer, separator, head or golden example do not agree."""


class StrategyFailed(Failure):
    """A strategy of the user's own raised, or yielded or returned what the contract does not have."""


class FailedAlike(Failure):
    """The first problems of a run all failed for one reason; the run stopped before more was spent on it."""


class NothingToCompare(Failure):
    """No problem has a verdict in every setting of a comparison."""


class TrainingFailed(Failure):
    """A calibration cannot go on with these settings; the message says which to change."""


class Fenced(Failure):
    """A newer epoch has taken the run over."""


class StoreFailed(Failure):
    """The store refused or lost a write."""


class Damaged(StoreFailed, InvalidInput):
    """A run's files are not what their names and commits say, or beyond a bound: asking again is no use."""


class ActorDied(Failure):
    """The process of the run's controller or writer is gone."""


class ClusterFailed(Failure):
    """A Ray cluster cannot be reached, or does not do what it was asked."""


class HeadLost(ClusterFailed):
    """The cluster's head has gone while we were in it; nothing more can be asked of Ray."""


class ReplicaFailed(Failure):
    """One call to one replica did not go through."""


class ReplicaDied(ReplicaFailed):
    """The replica's process is gone, or answers no more."""


class StaleEpoch(ReplicaFailed):
    """The replica serves a newer epoch than the caller's."""


class StaleIncarnation(ReplicaFailed):
    """The replica has been restarted since the caller last spoke to it."""


class QueueFull(ReplicaFailed):
    """The replica holds as many calls as it accepts."""


class NodeUnfit(ReplicaFailed):
    """The replica's node has another version of this package, or not the files of its model."""


class NoNode(ReplicaFailed):
    """No node with room for the replica came up in time."""


def first_failure(group: ExceptionGroup[Exception]) -> Failure | None:
    """The first failure of a group of failures, which may hold groups; None if anything else is among them.

    For `except ExceptionGroup`: what is raised inside `except*` comes out in a group again on Python 3.11.0 to 3.11.2.
    """
    failures, others = group.split(Failure)
    if failures is None or others is not None:
        return None
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, Failure) else None
