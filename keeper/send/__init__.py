"""How the keeper sends: fees, signatures, and the one nonce in flight."""
