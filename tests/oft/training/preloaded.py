"""What every rank would import by itself, for ``processes.py`` to import once."""

from stages.warm import LIBRARIES, import_libraries

import_libraries(LIBRARIES)
