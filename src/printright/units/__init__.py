"""The agent that runs beside one machine.

agent     spends, gets the key, prints from memory, reports     journal   its jobs, each step before it is taken
keyring   packages and their keys                               report    part codes, serial numbers, the job's record
offers    what it may print; shelf holds the license files      api       the operator's door, on a Unix socket
guard/    the allow-list that every G-code line passes          driver    the port of a machine; drivers/ the machines
"""
