"""The contracts that travel: topics, messages, what Stripe says. Pure; imports nothing of ours."""
