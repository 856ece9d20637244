"""One image through one method, and its scores; fits to single images; the check of a method's contract."""
