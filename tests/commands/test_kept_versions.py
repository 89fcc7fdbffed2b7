"""What a learner on Kafka fetches when somebody wants a version back."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.errors import ArtifactMissing
from anabranch.scope import GLOBAL
from anabranch.signatures import Signer
from commands import wiring
from support.publisher import Publisher


def test_a_version_is_read_from_the_topics_as_it_was_announced(embedded: Any) -> None:
    """One that is not announced, that another key has signed, or whose bytes are gone, is missing."""
    signer = Signer(Ed25519PrivateKey.generate())
    publisher = Publisher(embedded.bootstrap, signer=signer)
    publisher.announce(1)
    third = publisher.announce(3)
    kept = wiring.kept(publisher.settings, GLOBAL, 1, signer=signer)
    assert (kept.version, kept.model.predict_proba_one({})) == (1, {True: 0.5, False: 0.5})
    with pytest.raises(ArtifactMissing, match="it is not on model-updates"):
        wiring.kept(publisher.settings, GLOBAL, 2)
    other = Signer(Ed25519PrivateKey.generate())
    with pytest.raises(ArtifactMissing, match="it is not on model-updates"):
        wiring.kept(publisher.settings, GLOBAL, 1, signer=other)
    nowhere = third.pointer.model_copy(update={"first_offset": 7_000, "last_offset": 7_000})
    gone = third.model_copy(update={"version": 4, "artifact": nowhere})
    publisher.say(gone)
    with pytest.raises(ArtifactMissing):
        wiring.kept(publisher.settings, GLOBAL, 4)
