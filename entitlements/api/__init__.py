"""The query edge: who may ask, what they may ask about, and the answer as HTTP."""
