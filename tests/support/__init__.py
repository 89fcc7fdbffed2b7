"""What the tests share: each helper is here once, and no test module imports another."""
