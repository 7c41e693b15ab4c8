"""Old balances, running sessions and chats that have not come over yet."""
