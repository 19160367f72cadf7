"""Care of the file that lives for years: copies, putting one back, checks, and freeing its space.

Everything here works while other processes use the store.
"""
