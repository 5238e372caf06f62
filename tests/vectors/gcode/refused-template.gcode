; rule: parameter S is not a plain decimal number
G21
G90
M82
M104 S200
G28
G92 E0
G1 Z0.2 F3000
G1 X10 Y10 E0.5 F1200 ; perimeter
M104 S[first_layer_temperature]
