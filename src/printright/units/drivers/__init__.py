"""units/drivers"""
