# x86-64 Linux with zig; base: the first x86-64 CPUs (SSE2).
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(ZIG_TARGET x86_64-linux-gnu.2.17)
set(ZIG_CPU x86_64)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
