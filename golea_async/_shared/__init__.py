"""What the elections of one client share: its connection, lease, keep-alive and watches."""
