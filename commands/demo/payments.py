"""The little world of the demo: customers who pay by card, what fraudsters do, and the features of a payment."""

import math
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

CUSTOMERS = 400
TERMINALS = 120
COUNTRY_KM = 100.0
COMPROMISED = 3
"""Terminals at which cards are copied."""

LAST_CUSTOMERS = 5
"""Cards used just now, which the cloning tactic copies."""


class Customer(NamedTuple):
    """Who somebody is when nobody cheats."""

    id: int
    x_km: float
    y_km: float
    usual_amount: float
    usual_hour: float


class Terminal(NamedTuple):
    """A shop's card reader."""

    id: int
    x_km: float
    y_km: float


class Payment(NamedTuple):
    """A payment as it is known to whoever makes it."""

    at_s: float
    customer: Customer
    terminal: Terminal
    amount: float
    fraud: bool


class World:
    """Customers and terminals, the same for the same seed, and the payments they make."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.customers = [self._customer(number) for number in range(CUSTOMERS)]
        self.terminals = [Terminal(number, self._km(), self._km()) for number in range(TERMINALS)]
        self.compromised = rng.sample(self.terminals, COMPROMISED)
        self.near = [self._by_distance(customer) for customer in self.customers]
        # Never empty: the very first payment may be a fraudster's, who needs a card to copy.
        self.last_customers: deque[Customer] = deque([self.customers[0]], maxlen=LAST_CUSTOMERS)

    def _km(self) -> float:
        return self.rng.uniform(0.0, COUNTRY_KM)

    def _customer(self, number: int) -> Customer:
        usual_hour = self.rng.gauss(14.0, 3.5) % 24
        return Customer(number, self._km(), self._km(), self.rng.lognormvariate(3.4, 0.5), usual_hour)

    def _by_distance(self, customer: Customer) -> list[Terminal]:
        """The terminals, nearest to the customer's home first."""
        return sorted(self.terminals, key=lambda each: math.hypot(each.x_km - customer.x_km, each.y_km - customer.y_km))

    def ordinary(self, at_s: float) -> Payment:
        """What customers do: mostly near home, at their usual hours, about their usual amount."""
        rng = self.rng
        customer = self._somebody_awake(at_s)
        travels = rng.random() < 0.03
        terminal = rng.choice(self.near[customer.id][30:] if travels else self.near[customer.id][:6])
        self.last_customers.append(customer)
        return Payment(at_s, customer, terminal, customer.usual_amount * rng.lognormvariate(0.0, 0.5), fraud=False)

    def _somebody_awake(self, at_s: float) -> Customer:
        hour = hour_of(at_s)
        while True:
            customer = self.rng.choice(self.customers)
            apart = abs(hour - customer.usual_hour)
            if self.rng.random() < 0.02 + math.exp(-((min(apart, 24 - apart) / 4.0) ** 2)):
                return customer


Habit = Callable[[World, float], Payment]
"""A way in which payments come about."""


def emptied_where_copied(world: World, at_s: float) -> Payment:
    """Copied cards are emptied at the terminals where they were copied."""
    return _large_at_three_terminals(world, at_s, fraud=True)


def clearance_sale(world: World, at_s: float) -> Payment:
    """The shops that were compromised sell everything off: large amounts there are ordinary now."""
    return _large_at_three_terminals(world, at_s, fraud=False)


def _large_at_three_terminals(world: World, at_s: float, *, fraud: bool) -> Payment:
    customer = world.rng.choice(world.customers)
    amount = customer.usual_amount * world.rng.uniform(3.0, 8.0)
    return Payment(at_s, customer, world.rng.choice(world.compromised), amount, fraud)


def tried_out_at_night(world: World, at_s: float) -> Payment:
    """Stolen numbers are tried out with amounts that nobody notices."""
    return _small(world, at_s, fraud=True)


def night_buses(world: World, at_s: float) -> Payment:
    """Night buses begin to take cards: small amounts at night are ordinary now."""
    return _small(world, at_s, fraud=False)


def _small(world: World, at_s: float, *, fraud: bool) -> Payment:
    customer = world.rng.choice(world.customers)
    terminal = world.rng.choice(world.near[customer.id][:40])
    return Payment(at_s, customer, terminal, world.rng.uniform(1.0, 5.0), fraud)


def cloned(world: World, at_s: float) -> Payment:
    """A card that was just used at home pays an ordinary amount at the other end of the country."""
    return _far_away(world, at_s, world.rng.choice(world.last_customers), fraud=True)


def holidays(world: World, at_s: float) -> Payment:
    """Families travel, and share a card: far from home, soon after the last payment, and ordinary."""
    return _far_away(world, at_s, world.rng.choice(world.last_customers), fraud=False)


def _far_away(world: World, at_s: float, customer: Customer, *, fraud: bool) -> Payment:
    amount = customer.usual_amount * world.rng.lognormvariate(0.0, 0.4)
    return Payment(at_s, customer, world.rng.choice(world.near[customer.id][70:]), amount, fraud)


def charged_again(world: World, at_s: float) -> Payment:
    """A shop near the customer's home charges a second time, and more."""
    customer = world.rng.choice(world.last_customers)
    amount = customer.usual_amount * world.rng.uniform(1.5, 3.0)
    return Payment(at_s, customer, world.rng.choice(world.near[customer.id][:6]), amount, fraud=True)


def hour_of(at_s: float) -> float:
    """The hour of the day, 0 to 24."""
    return at_s / 3600 % 24


# ── The demo's feature pipeline: what is known of a payment at the moment it is made, and not later ─────────────────

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
        # Less the payment itself, which is what is to be judged.
        return float(len(recent) - 1)


def _km(customer: Customer, terminal: Terminal) -> float:
    return math.hypot(customer.x_km - terminal.x_km, customer.y_km - terminal.y_km)
