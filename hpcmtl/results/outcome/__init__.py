"""How attempts and jobs ended."""
