"""Everything that Printright raises on purpose.

    PrintrightError
    ├── Refused              a rule said no; nothing changed; the same request will be refused again
    │   ├── LedgerRefused    a contract's reason, one subclass for each (see `ledger.refusals`)
    │   ├── PackageRefused   bytes that are not what the rights holder signed
    │   ├── ModelRefused     a 3MF or STL that is hostile, broken, or not what it says it is bound to
    │   ├── ReleaseRefused   a custodian will not release a key share
    │   ├── GcodeRefused     a line that the machine's allow-list does not contain
    │   └── PartRefused      a part code that does not prove what it claims
    ├── CouldNotCheck        no answer, or not one that can be trusted: nothing is known, try again
    │   ├── LedgerUnavailable
    │   ├── StoreUnavailable
    │   ├── CustodianUnavailable
    │   ├── MachineUnavailable
    │   └── TokenUnavailable
    ├── NotMine              this key, unit or file belongs to somebody else, or another process holds it
    │   ├── WrongKey
    │   └── AlreadyRunning
    └── Misuse               the caller's mistake: a bad argument, setting or file
        ├── BadSettings
        └── BadValue

A message says what happened, to what, and what to do next. It never carries a key, a PIN or plaintext.
`exit_code` is what the command line returns for the class.
"""

from __future__ import annotations


class PrintrightError(Exception):
    """The root. `hint` is what the reader can do next; `str()` is the message followed by the hint."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Refused(PrintrightError):
    """A rule said no. Nothing changed, and the same request will be refused again."""

    exit_code = 3


class LedgerRefused(Refused):
    """A contract reverted. Subclasses, one for each reason, are in `printright.ledger.refusals`."""


class PackageRefused(Refused):
    """Package bytes that are not what the rights holder signed, or not in a form we accept."""


class ModelRefused(Refused):
    """A 3MF or STL that is hostile or broken, does not authenticate, or is not bound to the design it is shown for."""


class ReleaseRefused(Refused):
    """A custodian's pure decision was no: the ledger does not show a final, open job for this unit."""


class GcodeRefused(Refused):
    """A G-code line that the allow-list of this machine does not contain, or a value out of bounds."""


class PartRefused(Refused):
    """A part code that does not prove what it claims."""


class CouldNotCheck(PrintrightError):
    """No answer, or none that can be trusted. Nothing is known; trying again is safe."""

    exit_code = 4


class LedgerUnavailable(CouldNotCheck):
    """The ledger gave no usable answer."""


class StoreUnavailable(CouldNotCheck):
    """The store did not return the content."""


class CustodianUnavailable(CouldNotCheck):
    """Fewer custodians answered than the threshold needs."""


class MachineUnavailable(CouldNotCheck):
    """The machine does not answer on its port."""


class TokenUnavailable(CouldNotCheck):
    """The token that holds a key is not there, or does not answer."""


class NotMine(PrintrightError):
    """This key, unit or file belongs to somebody else, or another process holds it."""

    exit_code = 5


class WrongKey(NotMine):
    """A keystore password, token or key that does not open this."""


class AlreadyRunning(NotMine):
    """Another process holds this unit, journal or port."""


class Misuse(PrintrightError):
    """The caller's mistake: a bad argument, setting or file."""

    exit_code = 2


class BadSettings(Misuse):
    """A setting that is missing, out of range or unsafe."""


class BadValue(Misuse, ValueError):
    """A value that its type does not allow."""
