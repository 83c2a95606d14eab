"""What outlives a process: numbers and their profiles, calls, who may do what. Rows and files, no calls."""
