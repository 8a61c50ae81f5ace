"""What sparse weights bring: products beside other libraries' and beside whit's own dense ones."""
