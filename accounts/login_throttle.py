"""Limits attempts to sign in, counted in the database for all processes of the site."""

import ipaddress
import math
from datetime import timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import LoginThrottle

WINDOW = timedelta(minutes=5)  # from the first attempt on; the longest wait
BY_ACCOUNT_AND_ADDRESS = 5  # attempts in a window
BY_ADDRESS = 50  # for any account: an office may share one address
BY_ACCOUNT = 100  # from all addresses without a recent success together
KNOWN_FOR = timedelta(days=30)  # an address counts as known after a success


class LoginAttempt:
    """One attempt to sign in to `account` (there need not be such a one) from `address`.

    It is counted before the password is checked, so that attempts at the same moment are counted, too. The owner of an
    account can still sign in from a known address while others try the account from elsewhere.
    """

    def __init__(self, account: str, address: str) -> None:
        account, network = account.casefold(), network_of(address)
        self._pair = _key("account and address", account, network)
        self._address = _key("address", network)
        self._account = _key("account", account)
        self._known = _key("known address", account, network)

    def wait(self) -> timedelta | None:
        """Count the attempt. Returns None where it is allowed, else the time until the next one is."""
        LoginThrottle.objects.filter(expires_at__lt=timezone.now()).delete()
        limits = {self._address: BY_ADDRESS, self._pair: BY_ACCOUNT_AND_ADDRESS}
        if not LoginThrottle.objects.filter(key=self._known).exists():
            limits[self._account] = BY_ACCOUNT
        return next((wait for key, limit in limits.items() if (wait := _spend(key, limit))), None)

    def succeed(self) -> None:
        """Take the attempt back after a correct password, and remember the address as known."""
        LoginThrottle.objects.filter(key=self._pair).delete()
        counted = LoginThrottle.objects.filter(key__in=[self._address, self._account], attempts__gt=0)
        counted.update(attempts=F("attempts") - 1)
        expires_at = timezone.now() + KNOWN_FOR
        LoginThrottle.objects.update_or_create(key=self._known, defaults={"expires_at": expires_at})


def minutes(wait: timedelta) -> str:
    """Format a time in minutes, rounded up."""
    number = math.ceil(wait / timedelta(minutes=1))
    return "1 minute" if number == 1 else f"{number} minutes"


def network_of(address: str) -> str:
    """Return the IPv4 address, or the IPv6 /64 network, which one customer has as a whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a socket without addresses
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _key(*parts: str) -> str:
    """Return a keyed hash of the parts: a typed user name may be a password, and is not stored in clear."""
    return salted_hmac("accounts.login_throttle", "\0".join(parts), algorithm="sha256").hexdigest()


def _spend(key: str, limit: int) -> timedelta | None:
    """Count an attempt under `key`. Returns None below `limit`, else the time until the window ends."""
    now = timezone.now()
    row, _ = LoginThrottle.objects.get_or_create(key=key, defaults={"expires_at": now + WINDOW})
    counted = LoginThrottle.objects.filter(key=key, attempts__lt=limit).update(attempts=F("attempts") + 1)
    return None if counted else max(row.expires_at - now, timedelta(seconds=1))
