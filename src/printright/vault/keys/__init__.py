"""vault/keys"""
