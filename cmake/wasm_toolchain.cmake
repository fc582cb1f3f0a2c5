# clang 19 and libc++ 19 for wasm32-wasi, all from Debian packages (see script/packages.txt).
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
set(CMAKE_SYSTEM_NAME WASI)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_AR llvm-ar-19)
set(CMAKE_RANLIB llvm-ranlib-19)
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasi)
# Nothing is destroyed at an end that never comes: the list of what to destroy would bring libc's malloc. The features are
# those of every browser since 2021.
set(CMAKE_CXX_FLAGS_INIT "-fno-exceptions -fno-rtti -fno-c++-static-destructors -stdlib=libc++ -ffunction-sections \
-fdata-sections -flto -mbulk-memory -msign-ext -mnontrapping-fptoint")
# Loops in which fewer multiplications stand for more variables, and loads that are made twice in the code to be made once
# on some ways through it, are no faster here, and larger.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-mexec-model=reactor -flto -Wl,--gc-sections \
-Wl,-mllvm,-inline-threshold=-100 -Wl,-mllvm,-disable-lsr -Wl,-mllvm,-enable-pre=0")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
