"""The chat actor's logic: decide with the rules, commit, keep the timers. No Ray in here."""
