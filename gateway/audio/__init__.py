"""Audio on its way through the gateway: what is uploaded, and what is spoken."""
