"""Old balances, running sessions and chats that have not be imported yet."""
