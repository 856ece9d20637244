"""From stored rows to tables; nothing here computes a score."""
