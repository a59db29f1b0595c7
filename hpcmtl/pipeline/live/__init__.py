"""Operations on a run that exists: its state, requests to it, and its extension."""
