"""How fast and how dear the program is, beside a lean one written by hand; nothing of it is deployed."""
