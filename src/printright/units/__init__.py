"""The agent that runs beside one machine.

agent     takes orders and words; work does the open job       journal   its jobs and bed, each step before it is taken
keyring   packages and their keys                              report    part codes, serial numbers, the job's record
offers    what it may print; shelf holds the license files     api       for operators and their programs
operators who may do what; door lets them in                   order     what is asked for; machine_state what is said
guard/    the allow-list that every G-code line passes         driver    the port of a machine; drivers/ the machines
"""
