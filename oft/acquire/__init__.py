"""Data sets on this machine: downloaded, copied from a folder or an object store, checked and unpacked."""
