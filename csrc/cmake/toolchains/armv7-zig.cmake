# 32-bit ARM Linux, hard float, with zig; base: ARMv7-A, VFPv3-D16 (zig's own v7a would bring NEON and 32 registers).
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-arm-static;-L;/usr/arm-linux-gnueabihf")
set(ZIG_TARGET arm-linux-gnueabihf.2.17)
set(ZIG_CPU generic+v7a+vfp3d16-vfp3-d32-neon)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
