"""Errors as a service would answer them, independent of the protocol that carries them."""


class ApiError(Exception):
    """A refusal. `code` is the wire code of the protocol in use, `status` the HTTP status."""

    def __init__(self, code, message, status=400):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class AuthError(Exception):
    """A refused signature or credential.

    `kind` is one of: missing, incomplete, unknown_key, bad_token, expired_token, bad_signature,
    bad_scope, unsigned_header, expired, future, replay. Each protocol has a table that turns the
    kind into its own code and status.
    """

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class SetupError(Exception):
    """The simulator cannot run here; the text says what to install or change."""
