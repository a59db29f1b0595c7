"""Architectures of joint networks: graphs of cells between the inputs and one code for each head."""
