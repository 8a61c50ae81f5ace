# 64-bit ARM Linux with zig; base: ARMv8-A with NEON, no LSE atomics.
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64-static;-L;/usr/aarch64-linux-gnu")
set(ZIG_TARGET aarch64-linux-gnu.2.17)
set(ZIG_CPU generic)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
