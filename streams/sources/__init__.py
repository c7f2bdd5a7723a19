"""Sources, where records enter: devices, chat, stored sessions."""
