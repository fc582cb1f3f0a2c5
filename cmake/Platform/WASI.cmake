# CMake 3.25 does not know the system; there is nothing to say of it but this.
set(CMAKE_EXECUTABLE_SUFFIX ".wasm")
