"""What is under test: a plugin's class, where it is declared, and how to make one."""
