"""The supervisor's logic: reads the queue, keeps every user's order, places chats. No Ray here."""
