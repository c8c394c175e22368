"""The miniature base and its judges: small networks of Stable Diffusion's shape, trained on the world."""
