"""The actors that meter chats: supervisor, chat actors, recorder; and ``rules``, the pure part."""
