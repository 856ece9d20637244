"""What several methods need: transforms, estimators, masks. Methods import it, the harness does not."""
