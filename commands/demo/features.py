"""The demo's feature pipeline: what is known of a payment at the moment it is made, and not later."""

import math
from collections import deque

from commands.demo.payments import Customer, Payment, Terminal, hour_of

DAY_S = 86_400.0
RECENT_MAX = 200
"""Payments remembered of a terminal."""


class Features:
    """Turns payments into features, in order; remembers of customers and terminals what the next one needs."""

    def __init__(self) -> None:
        self.last_s: dict[int, float] = {}
        self.means: dict[int, tuple[int, float]] = {}
        self.recent: dict[int, deque[float]] = {}

    def __call__(self, payment: Payment) -> dict[str, float]:
        """The features of a payment, from what came before it; then remember it."""
        customer, terminal = payment.customer, payment.terminal
        return {
            "amount": round(payment.amount, 2),
            "amount_ratio": round(self._ratio(customer, payment.amount), 3),
            "hour": round(hour_of(payment.at_s), 2),
            "km_from_home": round(_km(customer, terminal), 1),
            "log_s_since_last": round(self._log_s_since_last(customer, payment.at_s), 3),
            "terminal_payments_1d": self._terminal_payments(terminal, payment.at_s),
        }

    def _ratio(self, customer: Customer, amount: float) -> float:
        """The amount over the customer's mean so far; 1 for the first payment."""
        count, mean = self.means.get(customer.id, (0, amount))
        self.means[customer.id] = (count + 1, mean + (amount - mean) / (count + 1))
        return amount / mean

    def _log_s_since_last(self, customer: Customer, at_s: float) -> float:
        """The decimal logarithm of the seconds since the customer's last payment, a day for the first."""
        before_s = self.last_s.get(customer.id, at_s - DAY_S)
        self.last_s[customer.id] = at_s
        return math.log10(1.0 + at_s - before_s)

    def _terminal_payments(self, terminal: Terminal, at_s: float) -> float:
        """How many payments the terminal saw within a day."""
        recent = self.recent.setdefault(terminal.id, deque(maxlen=RECENT_MAX))
        while recent and recent[0] < at_s - DAY_S:
            recent.popleft()
        recent.append(at_s)
        return float(len(recent) - 1)


def _km(customer: Customer, terminal: Terminal) -> float:
    return math.hypot(customer.x_km - terminal.x_km, customer.y_km - terminal.y_km)
