"""Key-value stores: JSON texts under ordered keys, with versions, leases and one transactional write."""
