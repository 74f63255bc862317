"""Print the number of page faults of filling 200 MB for the second time, with the memory of the first time kept."""

import resource

from system.libraries import keep_freed_memory

keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"1") * 200_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
