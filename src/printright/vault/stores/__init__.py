"""vault/stores"""
