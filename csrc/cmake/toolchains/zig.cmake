# What the *-zig.cmake toolchains share: zig's clang, libc++ and C libraries, for release wheels with a low glibc floor.
#
# Before including this file set ZIG_TARGET (with the glibc version after it) and ZIG_CPU (the base instruction set).
# -DWHIT_LIBC=musl builds for musl instead of glibc. zig is the program in -DZIG=... or $ZIG, or `zig` on the PATH, or
# the one of the Python package ziglang (of $PYTHON, else python3).

set(CMAKE_SYSTEM_NAME Linux)
set(WHIT_ZIG ON CACHE BOOL "The compiler is zig" FORCE)  # isa.cmake takes its ZIG_FLAGS
set(WHIT_LIBC gnu CACHE STRING "C library of the target: gnu or musl")
if(WHIT_LIBC STREQUAL musl)
  string(REGEX REPLACE "-gnu(eabihf)?(\\.[0-9.]+)?$" "-musl\\1" ZIG_TARGET ${ZIG_TARGET})
elseif(NOT WHIT_LIBC STREQUAL gnu)
  message(FATAL_ERROR "WHIT_LIBC=${WHIT_LIBC}: wanted gnu or musl")
endif()

set(_zig "${ZIG}")
if(NOT _zig)
  set(_zig "$ENV{ZIG}")
endif()
if(NOT _zig)
  find_program(_zig_on_path zig NO_CMAKE_FIND_ROOT_PATH NO_CACHE)
  if(_zig_on_path)
    set(_zig ${_zig_on_path})
  else()
    set(_python "$ENV{PYTHON}")
    if(NOT _python)
      set(_python python3)
    endif()
    execute_process(
      COMMAND ${_python} -c "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
      OUTPUT_VARIABLE _zig OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
endif()
if(NOT EXISTS "${_zig}")
  message(FATAL_ERROR "no zig: install it with `pip install ziglang`, or say where it is with -DZIG=/path/to/zig "
                      "(looked at ZIG='${_zig}', the PATH, and ziglang of ${_python})")
endif()
set(ZIG ${_zig} CACHE FILEPATH "zig")
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG WHIT_LIBC)

# zig adds debug information by default and, without -O, checks of undefined behaviour.
set(CMAKE_CXX_COMPILER ${ZIG} c++ -target ${ZIG_TARGET} -mcpu=${ZIG_CPU} -g0 -fno-sanitize=undefined)
set(CMAKE_C_COMPILER ${ZIG} cc -target ${ZIG_TARGET} -mcpu=${ZIG_CPU} -g0 -fno-sanitize=undefined)
# CMAKE_AR must be one program and `zig ar` is two words; so the rules are written out.
foreach(language C CXX)
  set(CMAKE_${language}_ARCHIVE_CREATE "\"${ZIG}\" ar qc <TARGET> <OBJECTS>")
  set(CMAKE_${language}_ARCHIVE_APPEND "\"${ZIG}\" ar q <TARGET> <OBJECTS>")
  set(CMAKE_${language}_ARCHIVE_FINISH "\"${ZIG}\" ranlib <TARGET>")
endforeach()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
