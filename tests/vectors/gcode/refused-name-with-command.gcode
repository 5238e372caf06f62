; rule: a text with characters or words
G21
G90
M82
M104 S200
G28
G92 E0
G1 Z0.2 F3000
G1 X10 Y10 E0.5 F1200 ; perimeter
M486 Apart M500
