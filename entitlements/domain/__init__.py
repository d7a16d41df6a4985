"""The pure core: periods, invoices, catalog, facts, the decision. No I/O, no clock."""
