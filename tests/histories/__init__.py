"""
Histories of customers, generated: what really happened, what Stripe would send of it, and what must follow.

`model` holds a history, `oracle` what the contract makes of it; `strategies` draw one, `rendering` tells it as Stripe
would, `deliveries` draw how that arrives, `program` is put through it on a real PostgreSQL, `laws` compare. As many as
one likes: `python -m tests.histories`.
"""
