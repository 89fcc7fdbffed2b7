"""What says "something changed": signals on the champion's error, and the trigger that decides on them."""
