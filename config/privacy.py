"""`[privacy]`: what stays behind the edge, who is behind a pseudonym, and how long topics may keep what they hold."""

from pydantic import Field, SecretStr, field_validator, model_validator

from config.sections import Seconds, Section

KEY_MIN = 16
"""Characters of the key of pseudonyms: a shorter one could be found by trying."""


class PrivacySettings(Section):
    """What is kept out of learning and of every topic that is written: see docs/PRIVACY.md."""

    hidden: tuple[str, ...] = Field(
        (),
        description="features that are dropped as soon as an event is decoded; groups may be made of them",
    )
    pseudonyms: SecretStr | None = Field(
        None,
        description="key by which ids, Kafka keys and `users` become pseudonyms, as `${file:/run/secrets/pseudonyms}`; "
        "None = they stay as they are",
    )
    users: tuple[str, ...] = Field((), description="features whose values become pseudonyms, too")
    retention_max: Seconds | None = Field(
        None, description="how long topics may keep what they hold, for `anabranch doctor`; None = not looked at"
    )

    @field_validator("pseudonyms")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < KEY_MIN:
            raise ValueError(
                f"is too short for a key: write {KEY_MIN} characters or more, as `openssl rand -hex 32` prints them"
            )
        return value

    @model_validator(mode="after")
    def _users_have_a_key(self) -> "PrivacySettings":
        if self.users and self.pseudonyms is None:
            raise ValueError('`privacy.users` need a key: set `privacy.pseudonyms = "${file:/run/secrets/…}"`')
        if twice := set(self.users) & set(self.hidden):
            raise ValueError(f"{min(twice)!r} is both hidden and a user: leave it out of one")
        return self

    @property
    def key(self) -> bytes:
        """Of the pseudonyms; empty where there are none."""
        return b"" if self.pseudonyms is None else self.pseudonyms.get_secret_value().encode()
