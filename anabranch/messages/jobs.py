"""Retraining that others carry out."""

from typing import ClassVar

from pydantic import Field

from anabranch.messages.base import Message
from anabranch.messages.updates import ArtifactPointer


class TrainJob(Message):
    """A retraining job for whoever takes it: one of the learner's workers, on any machine.

    Beside it on the topic lie the job's bytes in chunks, under keys that hold a slash; a message's key holds none.
    """

    goes_to: ClassVar[str] = "train_jobs"
    id: str = Field(description="digest of the job and of the settings that its models depend on")
    model: str
    job: str = Field(description="what the learner calls it")
    ts: float = Field(description="when it was put there, epoch seconds")
    until: float = Field(description="epoch seconds after which nobody waits for it")
    data: ArtifactPointer = Field(description="where the job's bytes lie")


class TrainResult(Message):
    """What came of a job. The first for a job counts; a later one is the same, or nobody waits for it."""

    goes_to: ClassVar[str] = "train_results"
    id: str = Field(description="the job's")
    model: str
    job: str
    by: str = Field(default="", max_length=200, description="the worker that carried it out: user, host and process")
    ts: float = Field(description="when that was, epoch seconds")
    failure: str = Field(default="", description="why it was not carried out; then there are no bytes")
    data: ArtifactPointer | None = Field(default=None, description="where the trained models' bytes lie")
