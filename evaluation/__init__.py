"""What can be known before production: backtests, calibration, hindsight, tables, and the simulation."""
