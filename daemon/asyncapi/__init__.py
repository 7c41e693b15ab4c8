"""What goes through Redis, described for programs: ``docs/asyncapi.json``, made from the rules."""
